import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { plugins } from '../plugins/all.ts';
import { LabelContext } from '../context.ts';
import { CounterFamily, HistogramFamily } from '../series.ts';
import { dashboardFiles, dashboards, prometheusConfig } from './files.ts';
import { toGrafana, type GrafanaPanel } from './grafana.ts';

/** Every metric of every plugin. */
function hubbleMetrics(): Set<string> {
  const names = new Set<string>(['hubble_lost_events_total']);
  const options = { help: '', labels: [], contextNames: [], limit: 1 };
  for (const plugin of plugins.values()) {
    plugin.create({
      options: new Map(), context: new LabelContext({}, 1),
      counter: name => {
        names.add(`hubble_${name}`);
        return new CounterFamily({ ...options, name });
      },
      histogram: name => {
        for (const suffix of ['bucket', 'sum', 'count']) names.add(`hubble_${name}_${suffix}`);
        return new HistogramFamily({ ...options, name });
      },
    });
  }
  return names;
}

const panelsOf = (uid: string): readonly GrafanaPanel[] => toGrafana(dashboards.find(spec => spec.uid === uid)!).panels;

for (const spec of dashboards) {
  test(`${spec.title}: the structure that Grafana reads`, () => {
    const board = toGrafana(spec);
    assert.equal(board.schemaVersion, 39);
    const variables = (board['templating'] as { list: { name: string; type: string; query: unknown }[] }).list;
    assert.deepEqual(variables.map(({ name, type }) => [name, type]), [['datasource', 'datasource'], ['node', 'query']]);
    const ids = board.panels.map(panel => panel.id);
    assert.equal(new Set(ids).size, ids.length, 'ids are unique');
    const titles = board.panels.filter(({ type }) => type !== 'row').map(panel => panel.title);
    assert.equal(new Set(titles).size, titles.length, 'titles are unique');
    for (const panel of board.panels) {
      assert.ok(['row', 'timeseries', 'stat', 'table', 'bargauge'].includes(panel.type));
      const { x, y, w, h } = panel.gridPos;
      assert.ok(x >= 0 && y >= 0 && w > 0 && h > 0 && x + w <= 24, `${panel.title} lies in the grid`);
      if (panel.type === 'row') continue;
      assert.deepEqual(panel['datasource'], { type: 'prometheus', uid: '${datasource}' });
      assert.ok(panel.targets!.length > 0);
      assert.equal(new Set(panel.targets!.map(({ refId }) => refId)).size, panel.targets!.length);
      assert.ok(typeof (panel['fieldConfig'] as { defaults: { unit: unknown } }).defaults.unit === 'string');
      for (const target of panel.targets!) {
        assert.notEqual(target.range, target.instant);
        assert.deepEqual(target.datasource, panel['datasource']);
      }
    }
  });

  test(`${spec.title}: no two panels lie on each other`, () => {
    const panels = panelsOf(spec.uid);
    for (const [i, a] of panels.entries()) {
      for (const b of panels.slice(i + 1)) {
        const [p, q] = [a.gridPos, b.gridPos];
        assert.ok(p.x + p.w <= q.x || q.x + q.w <= p.x || p.y + p.h <= q.y || q.y + q.h <= p.y, `${a.title} and ${b.title}`);
      }
    }
  });

  test(`${spec.title}: every metric of Hubble's exists, every query chooses by node`, () => {
    const known = hubbleMetrics();
    for (const panel of panelsOf(spec.uid)) {
      for (const { expr } of panel.targets ?? []) {
        for (const [, name] of expr.matchAll(/\b(hubble_\w+)/g)) assert.ok(known.has(name!), `${panel.title}: ${name}`);
        for (const [metric, braces] of expr.matchAll(/\b(?:hubble|cilium|process)_\w+(\{[^}]*\})?/g)) assert.match(braces ?? '', /^\{node=~"\$node"/, `${panel.title}: ${metric}`);
        for (const letter of '(){}[]') assert.equal(expr.split(letter).length, expr.split({ '(': ')', ')': '(', '{': '}', '}': '{', '[': ']', ']': '[' }[letter]!).length, expr);
      }
    }
  });
}

test('the files in docs/grafana are these', () => {
  for (const [name, text] of dashboardFiles()) assert.equal(readFileSync(new URL(`../../../docs/grafana/${name}`, import.meta.url), 'utf8'), text, `write them anew: cirri dashboards docs/grafana, without its prometheus.yml`);
});

test('prometheus.yml names every node in both jobs', () => {
  assert.deepEqual(parse(prometheusConfig([{ node: 'node1', host: '192.0.2.1' }, { node: 'node2', host: '[2001:db8::2]' }], 5)), {
    global: { scrape_interval: '5s', scrape_timeout: '5s' },
    scrape_configs: [['hubble-metrics', 9965], ['cilium-agent', 9962]].map(([job_name, port]) => ({
      job_name, static_configs: [{ targets: [`192.0.2.1:${port}`], labels: { node: 'node1' } }, { targets: [`[2001:db8::2]:${port}`], labels: { node: 'node2' } }],
    })),
  });
});
