/** A dashboard in the words of this project; `toGrafana` makes Grafana's JSON of it. */
export interface DashboardSpec {
  /** Stable, so that an import replaces the one before. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly RowSpec[];
}

export interface RowSpec {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

export interface PanelSpec {
  readonly title: string;
  /** What the number means, and which plugin it needs where that is not on from the start. */
  readonly description: string;
  readonly kind: 'timeseries' | 'stat' | 'table' | 'bargauge';
  /** Grafana's name of it: `pps`, `Bps`, `percentunit`, `s`, `short`. */
  readonly unit: string;
  readonly queries: readonly QuerySpec[];
  /** Of 24 columns. */
  readonly width?: number;
  readonly stacked?: boolean;
}

export interface QuerySpec {
  /** PromQL; `$node` is a regular expression, `$__rate_interval` a time. */
  readonly expr: string;
  readonly legend: string;
}

export interface GrafanaTarget {
  readonly refId: string;
  readonly datasource: Datasource;
  readonly expr: string;
  readonly legendFormat: string;
  readonly editorMode: 'code';
  readonly range: boolean;
  readonly instant: boolean;
  readonly format: 'time_series' | 'table';
}

interface Datasource {
  readonly type: 'prometheus';
  readonly uid: '${datasource}';
}

export interface GrafanaPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly GrafanaTarget[];
  readonly [field: string]: unknown;
}

export interface GrafanaDashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly GrafanaPanel[];
  readonly [field: string]: unknown;
}

const datasource: Datasource = { type: 'prometheus', uid: '${datasource}' };
const columns = 24;
const panelHeight = 8;

/** Grafana's dashboard JSON, schema version 39 (Grafana 10.4; later ones migrate it). */
export function toGrafana({ uid, title, description, rows }: DashboardSpec): GrafanaDashboard {
  const panels: GrafanaPanel[] = [];
  let y = 0;
  for (const row of rows) {
    panels.push({ id: panels.length + 1, type: 'row', title: row.title, collapsed: false, gridPos: { h: 1, w: columns, x: 0, y: y++ }, panels: [] });
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const w = panel.width ?? (panel.kind === 'stat' ? 4 : 12);
      const h = panel.kind === 'stat' ? 4 : panelHeight;
      if (x + w > columns) {
        y += height;
        x = 0;
        height = 0;
      }
      panels.push(toPanel(panel, panels.length + 1, { h, w, x, y }));
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return {
    uid, title, description, tags: ['cirri', 'cilium', 'hubble'], schemaVersion: 39, version: 1, editable: true, graphTooltip: 1, refresh: '10s', timezone: 'browser',
    time: { from: 'now-30m', to: 'now' }, timepicker: {}, links: [], annotations: { list: [] }, templating: { list: variables() }, panels,
  };
}

function variables(): readonly object[] {
  const query = 'label_values(up{job=~".*(hubble|cilium).*"}, node)';
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', refresh: 1, regex: '', hide: 0, includeAll: false, multi: false, options: [], current: {}, skipUrlSync: false },
    {
      name: 'node', label: 'Node', type: 'query', datasource, definition: query, query: { query, refId: 'nodes' }, refresh: 2, regex: '', sort: 1, hide: 0, includeAll: true, allValue: '.*', multi: true,
      options: [], current: { selected: true, text: ['All'], value: ['$__all'] }, skipUrlSync: false,
    },
  ];
}

function toPanel({ title, description, kind, unit, queries, stacked }: PanelSpec, id: number, gridPos: GrafanaPanel['gridPos']): GrafanaPanel {
  const isTable = kind === 'table';
  const isInstant = isTable || kind === 'bargauge';
  return {
    id, type: kind, title, description, datasource, gridPos,
    targets: queries.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i), datasource, expr, legendFormat: legend, editorMode: 'code', range: !isInstant, instant: isInstant, format: isTable ? 'table' : 'time_series',
    })),
    fieldConfig: { defaults: { unit, min: 0, color: { mode: kind === 'timeseries' ? 'palette-classic' : 'thresholds' }, thresholds: { mode: 'absolute', steps: [{ color: 'green', value: null }] }, ...(kind === 'timeseries' ? { custom: lines(stacked === true) } : {}) }, overrides: [] },
    options: optionsOf(kind),
    ...(isTable ? { transformations: [{ id: 'organize', options: { excludeByName: { Time: true }, renameByName: { Value: title } } }] } : {}),
  };
}

function lines(stacked: boolean): object {
  return { drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: stacked ? 30 : 10, showPoints: 'never', spanNulls: false, stacking: { mode: stacked ? 'normal' : 'none', group: 'A' } };
}

function optionsOf(kind: PanelSpec['kind']): object {
  switch (kind) {
    case 'timeseries': return { legend: { displayMode: 'table', placement: 'right', calcs: ['lastNotNull', 'max'], sortBy: 'Last *', sortDesc: true }, tooltip: { mode: 'multi', sort: 'desc' } };
    case 'stat': return { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, colorMode: 'value', graphMode: 'area', textMode: 'auto', orientation: 'auto', justifyMode: 'auto' };
    case 'bargauge': return { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, displayMode: 'gradient', orientation: 'horizontal', showUnfilled: true };
    case 'table': return { showHeader: true, cellHeight: 'sm', sortBy: [{ displayName: 'Value', desc: true }] };
  }
}
