import type { HistoryGap, HistoryGroup } from '../model/history.ts';

/** What an audit report of a namespace says. Groups have the keys that `reportQueries` asks for. */
export interface ReportData {
  readonly namespace: string;
  readonly cluster: string;
  readonly nodes: readonly string[];
  readonly since: string;
  readonly until: string;
  /** Of the oldest flow on any node: what lies before was never recorded, or is removed. */
  readonly recordedSince: string | undefined;
  readonly madeAt: string;
  readonly incoming: readonly HistoryGroup[];
  readonly outgoing: readonly HistoryGroup[];
  readonly denied: readonly HistoryGroup[];
  readonly policies: readonly HistoryGroup[];
  readonly days: readonly HistoryGroup[];
  readonly gaps: readonly HistoryGap[];
  /** Tables that hold the largest groups only. */
  readonly cut: boolean;
}

/** The dimensions of each of the report's tables. */
export const reportGroups = {
  incoming: ['source-workload', 'source-name', 'source-labels', 'destination-workload', 'port', 'protocol', 'verdict'],
  outgoing: ['source-workload', 'destination-workload', 'destination-name', 'destination-labels', 'port', 'protocol', 'verdict'],
  denied: ['source', 'destination', 'port', 'protocol', 'direction', 'reason', 'policy'],
  policies: ['policy', 'direction', 'verdict'],
  days: ['day', 'verdict'],
} as const;

/**
 * A page that is whole in itself: no script, nothing fetched, and made to be printed. All text from the cluster goes through
 * `escape`; nothing of it is ever part of markup, style or an address.
 */
export function reportHtml(data: ReportData): string {
  const { namespace, cluster, since, until, recordedSince } = data;
  const accepted = sum(data.incoming.filter(isAccepted)) + sum(data.outgoing.filter(isAccepted));
  const refused = data.denied.reduce((total, { flows }) => total + flows, 0);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(`Flows of namespace ${namespace}`)}</title><style>${style}</style></head><body>
<header><p class="kind">Audit report: network flows</p><h1>Namespace ${escape(namespace)}</h1>
<p>Cluster ${escape(cluster)}, nodes ${data.nodes.map(escape).join(', ')}. ${time(since)} to ${time(until)} (UTC), made at ${time(data.madeAt)}.</p></header>
${recordedSince !== undefined && recordedSince > since ? `<p class="warning">The record begins at ${time(recordedSince)}: nothing is said here about the time before.</p>` : ''}
${recordedSince === undefined ? '<p class="warning">No flow at all is recorded.</p>' : ''}
<section class="figures">${[['connections let through', accepted], ['flows denied', refused], ['who talked to it', new Set(data.incoming.filter(isAccepted).map(({ key }) => sourceOf(key))).size], ['gaps in the record', data.gaps.length]].map(([name, count]) => `<div><b>${number(Number(count))}</b><span>${name}</span></div>`).join('')}</section>
${section('Days', daysChart(data.days), 'Flows with an end in the namespace, let through and denied.')}
${section('Who talked to the namespace', talkersChart(data.incoming) + talk(data.incoming, 'From', 'To', key => [sourceOf(key), key[3]!]), 'New connections, each counted once, at the node of its destination.')}
${section('Whom the namespace talked to', talk(data.outgoing, 'From', 'To', key => [key[0] || '-', sourceOf([key[1]!, key[2]!, key[3]!])]))}
${section('What was denied', table(['From', 'To', 'Port', 'Side', 'Reason', 'Decided by', 'Flows', 'First', 'Last'], data.denied.map(({ key, flows, first, last }) =>
    [...key.slice(0, 2), portText(key[2]!, key[3]!), key[4]!.toLowerCase(), key[5] || '-', key[6] || '-', flows, stamp(first), stamp(last)])))}
${section('Policies that decided', table(['Policy', 'Side', 'Verdict', 'Flows', 'First', 'Last'], data.policies.filter(({ key }) => key[0] !== '').map(({ key, flows, first, last }) =>
    [key[0]!, key[1]!.toLowerCase(), key[2]!, flows, stamp(first), stamp(last)])))}
${section('Gaps in the record', data.gaps.length === 0 ? '<p>None: every flow that the kernel told of is counted above.</p>' : table(['Node', 'Since', 'Until', 'Flows', 'Class', 'Why'], data.gaps.map(gap =>
    [gap.node, stamp(gap.since), stamp(gap.until), gap.count ?? 'unknown', gap.class, gap.reason])))}
${data.cut ? '<p class="warning">Tables show the largest rows only; cirri flows query has them all.</p>' : ''}
</body></html>
`;
}

export function escape(text: string): string {
  // Marks that turn the direction of writing could make one name look like another.
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '�').replace(/[&<>"'`]/g, char => `&#${char.charCodeAt(0)};`);
}

const isAccepted = ({ key }: HistoryGroup) => key.at(-1) !== 'DROPPED';
const sum = (groups: readonly HistoryGroup[]) => groups.reduce((total, { connections }) => total + connections, 0);
const number = (value: number) => value.toLocaleString('en-US');
const stamp = (text: string) => text.slice(0, 19).replace('T', ' ');
const time = (text: string) => escape(stamp(text));
const portText = (port: string, protocol: string) => (port === '' ? protocol : `${port}/${protocol}`);

/** Workload, else DNS name, else what the labels say it is: `world`, `host`. */
function sourceOf([workload, name, labels]: readonly string[]): string {
  if (workload) return workload;
  if (name) return name;
  return /reserved:([a-z0-9-]+)/.exec(labels ?? '')?.[1] ?? (labels || 'unknown');
}

function section(title: string, body: string, note = ''): string {
  return `<section><h2>${title}</h2>${note === '' ? '' : `<p class="note">${note}</p>`}${body}</section>`;
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  if (rows.length === 0) return '<p>Nothing.</p>';
  const cell = (value: string | number) => (typeof value === 'number' ? `<td class="n">${number(value)}</td>` : `<td${value.length <= 20 ? ' class="s"' : ''}>${escape(value)}</td>`);
  return `<table><thead><tr>${header.map(text => `<th>${escape(text)}</th>`).join('')}</tr></thead><tbody>${rows.map(row => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}</tbody></table>`;
}

function talk(groups: readonly HistoryGroup[], from: string, to: string, ends: (key: readonly string[]) => readonly string[]): string {
  const rows = groups.filter(({ connections, key }) => connections > 0 && key.at(-1) !== 'DROPPED');
  return table([from, to, 'Port', 'Verdict', 'Connections', 'First', 'Last'], rows.map(({ key, connections, first, last }) =>
    [...ends(key), portText(key[4]!, key[5]!), key[6]!, connections, stamp(first), stamp(last)]));
}

const chart = { width: 900, height: 180, left: 60, bottom: 24 } as const;

/** One bar for each day, denied flows at its foot. */
function daysChart(groups: readonly HistoryGroup[]): string {
  const days = new Map<string, { passed: number; denied: number }>();
  for (const { key: [day, verdict], flows } of groups) {
    const counts = days.get(day!) ?? { passed: 0, denied: 0 };
    if (verdict === 'DROPPED') counts.denied += flows;
    else counts.passed += flows;
    days.set(day!, counts);
  }
  const bars = [...days].sort(([a], [b]) => (a < b ? -1 : 1));
  if (bars.length === 0) return '<p>Nothing.</p>';
  const most = Math.max(1, ...bars.map(([, { passed, denied }]) => passed + denied));
  const [plotWidth, plotHeight] = [chart.width - chart.left, chart.height - chart.bottom - 8];
  const step = plotWidth / bars.length;
  const tall = (count: number) => (count / most) * plotHeight;
  const everyNth = Math.ceil(bars.length / 15);
  const drawn = bars.map(([day, { passed, denied }], i) => {
    const x = chart.left + i * step + step * 0.1;
    const rectangle = (kind: string, count: number, above: number) => `<rect class="${kind}" x="${x.toFixed(1)}" y="${(8 + plotHeight - tall(above) - tall(count)).toFixed(1)}" width="${(step * 0.8).toFixed(1)}" height="${tall(count).toFixed(1)}"/>`;
    const label = i % everyNth === 0 ? `<text x="${(x + step * 0.4).toFixed(1)}" y="${chart.height - 6}" text-anchor="middle">${escape(day.slice(5, 10))}</text>` : '';
    return `<g><title>${escape(day.slice(0, 10))}: ${number(passed)} let through, ${number(denied)} denied</title>${rectangle('denied', denied, 0)}${rectangle('passed', passed, denied)}</g>${label}`;
  }).join('');
  const scale = [0, 0.5, 1].map(share => `<text x="${chart.left - 6}" y="${(12 + plotHeight - share * plotHeight).toFixed(1)}" text-anchor="end">${number(Math.round(most * share))}</text>`).join('');
  return `<svg viewBox="0 0 ${chart.width} ${chart.height}" role="img" aria-label="Flows by day">${scale}${drawn}</svg><p class="legend"><i class="passed"></i>let through <i class="denied"></i>denied</p>`;
}

/** The ten that talked most. */
function talkersChart(groups: readonly HistoryGroup[]): string {
  const talkers = new Map<string, number>();
  for (const group of groups) if (isAccepted(group)) talkers.set(sourceOf(group.key), (talkers.get(sourceOf(group.key)) ?? 0) + group.connections);
  const top = [...talkers].filter(([, count]) => count > 0).sort(([, a], [, b]) => b - a).slice(0, 10);
  if (top.length === 0) return '';
  const most = top[0]![1];
  const rows = top.map(([name, count], i) => {
    const width = Math.max(1, (count / most) * 520);
    return `<g transform="translate(0 ${i * 22})"><text x="292" y="14" text-anchor="end">${escape(name.length > 44 ? `${name.slice(0, 43)}…` : name)}</text><rect class="passed" x="300" y="3" width="${width.toFixed(1)}" height="14"/><text x="${(306 + width).toFixed(1)}" y="14">${number(count)}</text></g>`;
  }).join('');
  return `<svg viewBox="0 0 ${chart.width} ${top.length * 22 + 4}" role="img" aria-label="Who talked most">${rows}</svg>`;
}

const style = `
:root{color-scheme:light}body{font:13px/1.45 system-ui,sans-serif;color:#16202b;background:#fff;max-width:1000px;margin:24px auto;padding:0 20px}
h1{font-size:26px;margin:.1em 0}h2{font-size:17px;margin:28px 0 6px;border-bottom:1px solid #d5dbe1;padding-bottom:3px}.kind,.note{color:#55606c;margin:0}
table{border-collapse:collapse;width:100%;font-size:12px;margin-top:8px}th{text-align:left;color:#55606c;font-weight:600}th,td{padding:3px 8px 3px 0;border-bottom:1px solid #e8ecf0;vertical-align:top;overflow-wrap:anywhere}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}td.s,th{white-space:nowrap}tr{break-inside:avoid}thead{display:table-header-group}
.figures{display:flex;gap:28px;margin:18px 0}.figures div{display:flex;flex-direction:column}.figures b{font-size:24px}.figures span{color:#55606c}
.warning{background:#fff4d6;border-left:4px solid #d19a00;padding:6px 10px}svg{width:100%;height:auto;margin-top:8px}svg text{font:11px system-ui,sans-serif;fill:#55606c}
.passed{fill:#2f7ed8;background:#2f7ed8}.denied{fill:#c8362e;background:#c8362e}.legend i{display:inline-block;width:10px;height:10px;margin:0 4px 0 12px}.legend{margin:2px 0;color:#55606c}
@page{margin:14mm}@media print{body{margin:0;max-width:none}*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}`;
