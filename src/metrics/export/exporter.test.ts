import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import fc from 'fast-check';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { defaultSettings } from '../../model/settings.ts';
import { silentLogger } from '../../std/log.ts';
import { expose } from '../exposition.ts';
import { end, view } from '../testing.ts';
import { ownPath, readFlowLogs, staticExporter } from './config.ts';
import { FlowExporter, type ExporterOptions } from './exporter.ts';
import { Exporters } from './exporters.ts';
import { compileMask } from './mask.ts';

let folder: string;
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'cirri-export-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = (more: Partial<ExporterOptions> = {}): ExporterOptions => ({
  name: 'a', filePath: join(folder, 'flows.log'), fileMaxSizeMb: 10, fileMaxBackups: 5, fileCompress: false, include: [], exclude: [], fieldMask: [], fieldAggregate: [], aggregationIntervalMs: 60_000, ...more,
});
const lines = (name = 'flows.log') => readFileSync(join(folder, name), 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line) as { flow?: Record<string, unknown>; node_name: string; time: string; lost_events?: object });
const dropped = view({ verdict: 'DROPPED', type: 'drop', dropReasonCode: 133, dropReason: 'Policy denied', source: end({ namespace: 'shop', podName: 'web' }) });

test('a line is an ExportEvent that reads back as the flow', async () => {
  const exporter = new FlowExporter(options(), { nodeName: 'node1' });
  exporter.flow(view());
  exporter.lost({ source: 'PERF_EVENT_RING_BUFFER', class: 'flows', count: 7 });
  exporter.settle();
  await exporter.close();
  const [flow, lost] = lines();
  assert.deepEqual(Object.keys(flow!), ['flow', 'node_name', 'time']);
  assert.equal(flow!.node_name, 'node1');
  assert.equal(flow!.time, '2026-01-02T03:04:05.000000006Z');
  const read = flowFromJson(flow);
  assert.deepEqual([read.verdict, read.destinationPort, read.source.ip, read.tcpFlags, read.summary], ['FORWARDED', 80, '10.0.0.1', ['SYN'], 'TCP Flags: SYN']);
  assert.deepEqual(lost!.lost_events, { source: 'PERF_EVENT_RING_BUFFER', num_events_lost: '7' });
  assert.equal(lost!.node_name, 'node1');
  assert.deepEqual(exporter.counts, { written: 2, lost: 0 });
});

test('filters choose, the mask cuts', async () => {
  const exporter = new FlowExporter(options({ include: [{ source_pod: ['shop/'] }], exclude: [{ destination_port: ['443'] }], fieldMask: ['verdict', 'source.pod_name', 'l4.TCP.destination_port', 'nothing'] }), { nodeName: 'node1' });
  exporter.flow(view());
  exporter.flow(dropped);
  exporter.flow({ ...dropped, destinationPort: 443 });
  await exporter.close();
  assert.deepEqual(lines().map(({ flow }) => flow), [{ verdict: 'DROPPED', source: { pod_name: 'web' }, l4: { TCP: { destination_port: 80 } } }]);
});

test('a mask keeps what it names and nothing else', () => {
  const json = { a: { b: 1, c: { d: 2 } }, e: [1], f: 'x' };
  assert.deepEqual(compileMask([])(json), json);
  assert.deepEqual(compileMask(['a.c', 'f'])(json), { a: { c: { d: 2 } }, f: 'x' });
  assert.deepEqual(compileMask(['a', 'a.b'])(json), { a: json.a });
  assert.deepEqual(compileMask(['a.b', 'a'])(json), { a: json.a });
  assert.deepEqual(compileMask(['e.x', 'f.y'])(json), {});
  assert.throws(() => compileMask(['a..b']), { code: 'ERR_FIELD_MASK' });
  const tree = fc.letrec(tie => ({ node: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof({ maxDepth: 3 }, fc.integer(), tie('node'))) })).node as fc.Arbitrary<Record<string, unknown>>;
  const at = (value: unknown, path: readonly string[]): unknown => path.reduce<unknown>((inner, step) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[step] : undefined), value);
  fc.assert(fc.property(tree, fc.array(fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }), (value, paths) => {
    const masked = compileMask(paths.map(path => path.join('.')))(value);
    for (const path of paths) assert.deepEqual(at(masked, path), at(value, path));
    const leaves = (inner: unknown, path: readonly string[]): (readonly string[])[] => (typeof inner === 'object' && inner !== null ? Object.entries(inner).flatMap(([key, below]) => leaves(below, [...path, key])) : [path]);
    for (const leaf of leaves(masked, [])) assert.ok(paths.some(path => path.every((step, i) => leaf[i] === step)), leaf.join('.'));
  }));
});

test('flows that are equal in some fields are counted for an interval', async () => {
  const exporter = new FlowExporter(options({ fieldAggregate: ['verdict', 'source.namespace'] }), { nodeName: 'node1' });
  for (let i = 0; i < 5; i++) exporter.flow(dropped);
  exporter.flow({ ...dropped, direction: 'EGRESS' });
  exporter.flow(view({ direction: 'UNKNOWN' }));
  exporter.tellAggregates();
  exporter.flow(dropped);
  await exporter.close();
  assert.deepEqual(lines().map(({ flow }) => flow), [
    { verdict: 'DROPPED', source: { namespace: 'shop' }, aggregate: { ingress_flow_count: 5, egress_flow_count: 1 } },
    { verdict: 'FORWARDED', source: {}, aggregate: { unknown_direction_flow_count: 1 } },
    { verdict: 'DROPPED', source: { namespace: 'shop' }, aggregate: { ingress_flow_count: 1 } },
  ]);
});

test('after its end nothing is exported', async () => {
  let now = 1_000;
  const exporter = new FlowExporter(options({ end: 2_000 }), { nodeName: 'node1', now: () => now });
  exporter.flow(view());
  now = 2_000;
  assert.equal(exporter.active, false);
  exporter.flow(view());
  await exporter.close();
  assert.equal(lines().length, 1);
});

test('the ConfigMap is read', () => {
  const [log] = readFlowLogs(`flowLogs:
- name: all
  filePath: /var/run/cilium/hubble/all.log
  fieldMask: [time, verdict]
  fieldAggregate: [verdict]
  aggregationInterval: 1m30s
  includeFilters: [{ source_pod: [shop/] }]
  excludeFilters: []
  fileMaxSizeMb: 1
  fileMaxBackups: 2
  fileCompress: true
  end: "2026-12-31T23:59:59-07:00"
`);
  assert.deepEqual(log, {
    name: 'all', filePath: '/var/run/cilium/hubble/all.log', fieldMask: ['time', 'verdict'], fieldAggregate: ['verdict'], aggregationIntervalMs: 90_000, include: [{ source_pod: ['shop/'] }], exclude: [],
    fileMaxSizeMb: 1, fileMaxBackups: 2, fileCompress: true, end: Date.parse('2027-01-01T06:59:59Z'),
  });
  assert.deepEqual(readFlowLogs(''), []);
});

for (const [entry, message] of [
  ['{ filePath: stdout }', /flowLogs\[0\]\.name is missing$/],
  ['{ name: a }', /filePath is missing/],
  ['{ name: a, filePath: /etc/cron.d/x }', /must be stdout or lie below/],
  ['{ name: a, filePath: /var/log/cirri/../../../etc/passwd }', /must be stdout or lie below/],
  ['{ name: a, filePath: stdout, filters: [] }', /has no field filters/],
  ['{ name: a, filePath: stdout, end: soon }', /end must be a time/],
  ['{ name: a, filePath: stdout, aggregationInterval: 5 }', /aggregationInterval must be a duration/],
  ['{ name: a, filePath: stdout, fileMaxSizeMb: 0 }', /fileMaxSizeMb must be a number from 1/],
  ['{ name: a, filePath: stdout }, { name: a, filePath: stdout }', /flowLogs\[1\]\.name "a" is there twice/],
  ['{ name: a, filePath: /var/log/cirri/x }, { name: b, filePath: /var/log/cirri/x }', /another flow log's too/],
] as const) {
  test(`${entry} is refused`, () => assert.throws(() => readFlowLogs(`flowLogs: [${entry}]`), message));
}

test('the settings: filters in JSON, one or several a text; nodes of one machine have files of their own', () => {
  const settings = { ...defaultSettings.hubble.export, filePath: '/var/log/flows.log', allowlist: ['{"source_pod":["a}{/"]} {"tcp_flags":[{"SYN":true},{"FIN":true}]}', '{"verdict":["DROPPED"]}'] };
  const made = staticExporter(settings, { name: 'node1', shared: true })!;
  assert.equal(made.filePath, '/var/log/flows-node1.log');
  assert.deepEqual(made.include, [{ source_pod: ['a}{/'] }, { tcp_flags: [{ SYN: true }, { FIN: true }] }, { verdict: ['DROPPED'] }]);
  assert.equal(staticExporter(settings, { name: 'node1', shared: false })!.filePath, '/var/log/flows.log');
  assert.equal(staticExporter(defaultSettings.hubble.export, { name: 'node1', shared: false }), undefined);
  assert.throws(() => staticExporter({ ...settings, denylist: ['verdict=DROPPED'] }, { name: 'n', shared: false }), /hubble\.export\.denylist: verdict=DROPPED is not JSON/);
  assert.throws(() => staticExporter({ ...settings, filePath: 'flows.log' }, { name: 'n', shared: false }), /absolute/);
  assert.equal(ownPath('/a.b/flows', 'n'), '/a.b/flows-n');
});

test('exporters come, change and go with the ConfigMap; those that stay go on; a wrong one changes nothing', async () => {
  const exporters = new Exporters({ fixed: options({ name: 'static', filePath: join(folder, 'static.log') }) }, { nodeName: 'node1', log: silentLogger });
  const log = (name: string, more = '') => `{ name: ${name}, filePath: /var/log/cirri/test-${process.pid}/${name}.log${more} }`;
  exporters.configure(`flowLogs: [${log('a')}, ${log('b')}]`);
  exporters.configure(`flowLogs: [${log('a')}, ${log('b', ', fileMaxSizeMb: 3')}, ${log('c', ', end: 2001-01-01T00:00:00Z')}]`);
  assert.throws(() => exporters.configure(`flowLogs: [${log('d', ', includeFilters: [{ source_ip: [nowhere] }]')}]`));
  assert.equal(exporters.size, 4);
  exporters.flow(view());
  exporters.flow(view({ packetless: true }));
  exporters.settle();
  const text = expose(exporters.families(), 'text');
  assert.match(text, /^hubble_dynamic_exporter_exporters_total\{status="active"\} 2\nhubble_dynamic_exporter_exporters_total\{status="inactive"\} 1$/m);
  assert.match(text, /^hubble_dynamic_exporter_up\{name="a"\} 1\n.*"b"\} 1\n.*"c"\} 0$/m);
  assert.match(text, /^hubble_dynamic_exporter_reconfigurations_total\{op="add"\} 3\n.*op="update"\} 1\n.*op="remove"\} 0$/m);
  exporters.configure(undefined);
  assert.match(expose(exporters.families(), 'text'), /op="remove"\} 3$/m);
  await exporters.close();
  assert.equal(lines('static.log').length, 1);
  assert.match(exporters.status(undefined).detail, /^static → .*static\.log: 1 written$/);
  rmSync(`/var/log/cirri/test-${process.pid}`, { recursive: true, force: true });
  assert.deepEqual(readdirSync(folder), ['static.log']);
});
