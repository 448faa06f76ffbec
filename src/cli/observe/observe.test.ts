import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Command } from 'commander';
import { parse } from 'yaml';
import type { FlagUse } from '../../flows/flags.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { createPaint } from '../../flows/print/paint.ts';
import type { Flow } from '../../model/flow.ts';
import { World } from '../../policy/world.ts';
import { loadScenario } from '../commands/policy-world.ts';
import { Explainer } from './explain.ts';
import { maskFlow, maskPaths } from './field-mask.ts';
import { HubbleConfig } from './hubble-config.ts';
import { addFlowOptions, filtersOf, maskOf, printerOptionsOf, selectionOf, type ObserveFlags, type Style } from './options.ts';
import { rawFilters, rawFiltersYaml } from './raw-filters.ts';
import { replay } from './replay.ts';

const folder = mkdtempSync(join(tmpdir(), 'observe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function parsed(words: readonly string[], style: Style = 'cirri'): { readonly flags: ObserveFlags; readonly uses: FlagUse[] } {
  const uses: FlagUse[] = [];
  const command = addFlowOptions(new Command('observe').exitOverride().configureOutput({ writeErr: () => {} }), style, uses);
  command.parse([...words], { from: 'user' });
  return { flags: command.opts<ObserveFlags>(), uses };
}

test('the line of the seed reads as two verdicts of one namespace', () => {
  const { flags, uses } = parsed(['--from-namespace', 'payments', '--verdict', 'DROPPED,FORWARDED', '--follow']);
  assert.deepEqual(filtersOf(flags, uses), { whitelist: [{ verdict: ['DROPPED', 'FORWARDED'], source_pod: ['payments/'] }], blacklist: [] });
  assert.deepEqual(selectionOf(flags), {});
});

test('filters by JSON stand beside those by flags, and are printed as what --config takes back', () => {
  const { flags, uses } = parsed(['--allowlist', '{"sourcePod":["a/"]}', '--denylist', '{"tcp_flags":[{"SYN":true}]} {"verdict":["DROPPED"]}', '--pod', 'b/c', '--not', '--port', '53']);
  const filters = filtersOf(flags, uses);
  assert.deepEqual(filters.whitelist, [{ source_pod: ['a/'] }, { source_pod: ['b/c'] }, { destination_pod: ['b/c'] }]);
  assert.deepEqual(filters.blacklist.slice(0, 2), [{ tcp_flags: [{ SYN: true }] }, { verdict: ['DROPPED'] }]);
  const yaml = rawFiltersYaml(filters);
  assert.match(yaml, /^allowlist:\n {4}- '\{"source_pod":\["a\/"\]\}'\n/);
  const back = parse(yaml) as { allowlist: string[]; denylist: string[] };
  assert.deepEqual([rawFilters('allowlist', back.allowlist), rawFilters('denylist', back.denylist)], [filters.whitelist, filters.blacklist]);
  assert.throws(() => rawFilters('allowlist', ['{"no_such_field":["x"]}']), /no_such_field/);
  assert.throws(() => rawFilters('denylist', ['{']), /not a flow filter in JSON/);
});

test('what is shown: the last 20 unless something else is asked for; what excludes each other says so', () => {
  const shown = (...words: string[]) => selectionOf(parsed(words).flags);
  assert.deepEqual(shown(), { last: 20 });
  assert.deepEqual(shown('--follow'), {});
  assert.deepEqual(shown('--follow', '--last', '5'), { last: 5 });
  assert.deepEqual(shown('--input-file', 'x'), {});
  assert.deepEqual(shown('--all'), {});
  assert.throws(() => shown('--first', '1', '--last', '1'), /cannot set both --first and --last/);
  assert.throws(() => shown('--all', '--last', '1'), /cannot set both --last and --all/);
  assert.throws(() => shown('-f', '-o', 'tab'), /not compatible with follow/);
  assert.throws(() => shown('--last', 'many'), /must be a number/);
});

test("under hubble's name nothing of ours is printed; under ours denials name rule and id", () => {
  const { format, ours, policyNames, ids } = printerOptionsOf(parsed([], 'hubble').flags, 'hubble', {});
  assert.deepEqual({ format, ours, policyNames, ids }, { format: 'compact', ours: false, policyNames: false, ids: 'none' });
  const own = printerOptionsOf(parsed([]).flags, 'cirri', {});
  assert.deepEqual([own.ours, own.policyNames, own.ids], [true, true, 'denied']);
  assert.equal(printerOptionsOf(parsed(['--print-policy-names'], 'hubble').flags, 'hubble', {}).policyNames, true);
  assert.equal(printerOptionsOf(parsed(['--ip-translation=false']).flags, 'cirri', {}).names, false);
  assert.equal(printerOptionsOf(parsed(['--color', 'always']).flags, 'cirri', { NO_COLOR: '1' }).colours, true);
  assert.throws(() => printerOptionsOf(parsed(['--explain', '-o', 'json']).flags, 'cirri', {}), /has no place in -o json/);
  assert.throws(() => printerOptionsOf(parsed(['--time-format', 'noon']).flags, 'cirri', {}), /not a layout/);
});

const denied = (more: object = {}): Flow => flowFromJson({
  time: '2026-01-01T00:00:00Z', uuid: 'n-1', verdict: 'DROPPED', drop_reason: 133, event_type: { type: 1, sub_type: 133 }, traffic_direction: 'INGRESS', node_name: 'n1',
  IP: { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40_000, destination_port: 8080, flags: { SYN: true } } },
  source: { identity: 1, namespace: 'shop', pod_name: 'web', labels: ['k8s:app=web'] }, destination: { identity: 2, namespace: 'shop', pod_name: 'db', labels: ['k8s:app=db'] },
  cirri: { rule: { id: 7, kind: 'NetworkPolicy', namespace: 'shop', name: 'closed', path: 'spec', effect: 'default-deny' } }, ...more,
});

test('a mask leaves its fields alone', () => {
  const masked = maskFlow(denied(), maskPaths(['source.pod_name,verdict', 'IP.source']));
  assert.deepEqual([masked.source.podName, masked.source.namespace, masked.verdict, masked.source.ip, masked.destination.ip], ['web', undefined, 'DROPPED', '10.0.0.1', '']);
  assert.throws(() => maskPaths(['a b']), /not a path/);
  assert.equal(maskOf(parsed([]).flags), undefined);
  assert.equal(maskOf(parsed(['--use-default-field-masks'], 'hubble').flags)!.length, 26);
});

const manifests = `
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec: { containers: [{ name: c, image: x }] }
---
apiVersion: v1
kind: Pod
metadata: { name: db, namespace: shop, labels: { app: db } }
spec: { containers: [{ name: c, image: x }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: closed, namespace: shop }
spec: { podSelector: { matchLabels: { app: db } }, policyTypes: [Ingress] }
`;

async function worldOfFile(): Promise<World> {
  const file = join(folder, 'world.yaml');
  writeFileSync(file, manifests);
  return new World(await loadScenario({ filename: [file], namespace: 'default' }, true));
}

test('an explanation is what policy explain says, indented, computed once a question', async () => {
  let loads = 0;
  const explainer = new Explainer({ loadWorld: () => (loads++, worldOfFile()), paint: createPaint(false) });
  const lines = await explainer.explain(denied());
  assert.match(lines!.join('\n'), /^ {4}shop\/web → shop\/db 8080\/TCP: DENY\n/);
  assert.match(lines!.join('\n'), /the smallest change that allows it \(tried\)/);
  assert.equal(await explainer.explain(denied({ uuid: 'n-2' })), lines, 'the same question');
  assert.equal(explainer.explain(denied({ verdict: 'FORWARDED', event_type: { type: 4 } })), undefined);
  assert.deepEqual(await explainer.explain(denied({ cirri: {}, drop_reason: 196, event_type: { type: 1, sub_type: 196 } })), ['    not by a policy: TTL exceeded']);
  assert.equal(loads, 1);
  const verdict = denied({ event_type: { type: 5 } });
  assert.equal(explainer.explain(verdict), undefined, 'the drop that follows is explained');
  const ofVerdicts = new Explainer({ loadWorld: worldOfFile, paint: createPaint(false), verdicts: true });
  assert.deepEqual(await ofVerdicts.explain(verdict), lines);
});

test('where explaining fails the line says so, and the next one tries again', async () => {
  let loads = 0;
  const explainer = new Explainer({ loadWorld: () => (loads++ === 0 ? Promise.reject(new Error('the API is\x1b[2J away')) : worldOfFile()), paint: createPaint(false) });
  assert.deepEqual(await explainer.explain(denied()), ['    no explanation: the API is^[[2J away']);
  const gone = await explainer.explain(denied({ source: { namespace: 'shop', pod_name: 'left', labels: ['k8s:app=left'] } }));
  assert.match(gone!.join(), /no explanation: pod shop\/left of the flow is gone/);
  assert.equal(loads, 2);
});

test('what is remembered of explanations is bounded', async () => {
  let loads = 0;
  const explainer = new Explainer({ loadWorld: () => (loads++, Promise.reject(new Error('no'))), paint: createPaint(false) });
  for (let port = 1; port <= 300; port++) await explainer.explain(denied({ l4: { TCP: { destination_port: port } } }));
  assert.equal(loads, 300);
  await explainer.explain(denied({ l4: { TCP: { destination_port: 300 } } }));
  assert.equal(loads, 300, 'the newest are known');
  await explainer.explain(denied({ l4: { TCP: { destination_port: 1 } } }));
  assert.equal(loads, 301, 'the oldest are not');
});

test('files of flows: in their order, with their losses, by filters; a line that is none is named', async () => {
  const file = join(folder, 'flows.json');
  const lineOf = (port: number) => JSON.stringify({ flow: { time: '2026-01-01T00:00:00Z', verdict: 'FORWARDED', l4: { TCP: { destination_port: port } } } });
  writeFileSync(file, [lineOf(1), '{"lost_events":{"source":"HUBBLE_RING_BUFFER","num_events_lost":"3"},"node_name":"n1"}', lineOf(2), '{"node_status":{}}', '', lineOf(3)].join('\n'));
  const read = async (query: Parameters<typeof replay>[1], skip = false) => {
    const found: (number | string)[] = [];
    for await (const item of replay(file, query, { skip })) found.push('flow' in item ? item.flow.destinationPort! : 'lost' in item ? `lost ${item.lost.count}` : 'node');
    return found;
  };
  assert.deepEqual(await read({}), [1, 'lost 3', 2, 3]);
  assert.deepEqual(await read({ last: 1 }), ['lost 3', 3]);
  assert.deepEqual(await read({ whitelist: [{ destination_port: ['2'] }] }), ['lost 3', 2]);
  writeFileSync(file, `${lineOf(1)}\nnonsense`);
  await assert.rejects(read({}), /not a flow in JSON/);
  assert.deepEqual(await read({}, true), [1]);
});

test('configuration: environment over file over default; written for its owner alone', () => {
  const path = join(folder, 'hubble', 'config.yaml');
  const open = (env = {}) => new HubbleConfig(undefined, { HUBBLE_CONFIG: path, ...env });
  assert.equal(open().get('server'), undefined);
  open().set('server', 'relay:4245');
  open().set('tls', 'true');
  assert.equal(open().get('server'), 'relay:4245');
  assert.equal(open({ HUBBLE_SERVER: 'other:1' }).get('server'), 'other:1');
  assert.equal(open().all()['tls'], true);
  assert.equal(open().all()['timeout'], '5s');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  open().reset('server');
  assert.equal(open().get('server'), undefined);
  open().reset();
  assert.equal(readFileSync(path, 'utf8'), '{}\n');
  assert.throws(() => open().set('srever', 'x'), /unknown key: srever/);
  assert.throws(() => open().set('tls', 'perhaps'), /is true or false/);
  assert.throws(() => new HubbleConfig(join(folder, 'none.yaml'), {}), /cannot read/);
});
