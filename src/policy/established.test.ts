import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConntrackRow } from '../model/kernel-reports.ts';
import { previewEstablished } from './established.ts';
import { readScenario, type ScenarioObject } from './scenario.ts';
import { World } from './world.ts';

const pod = (name: string, ip: string) => ({ kind: 'Pod', metadata: { name, namespace: 'x', labels: { app: name } }, spec: { nodeName: 'n1', containers: [] }, status: { podIP: ip } });
const policy = (ingress: readonly object[], annotations: Record<string, string> = {}, name = 'db') => ({
  kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', annotations }, spec: { endpointSelector: { matchLabels: { app: 'db' } }, ingress },
});
const objects = [pod('web', '10.0.0.1'), pod('job', '10.0.0.2'), pod('db', '10.0.0.3'), { kind: 'Node', metadata: { name: 'n1' }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }];
const world = (...more: readonly object[]) => new World(readScenario([...objects, ...more].map(object => ({ object: object as ScenarioObject, place: () => '' }))));
const row = (source: string, destination: string, more: Partial<ConntrackRow> = {}): ConntrackRow => ({
  protocol: 6, source, sourcePort: 40_000, destination, destinationPort: 5432, sourceIdentity: 0, destinationIdentity: 0, forwardPackets: 3, replyPackets: 2, bytes: 500, closing: false, host: false, ...more,
});
const fromWeb = [{ fromEndpoints: [{ matchLabels: { app: 'web' } }] }];

test('what would be denied from now on ends, with the end and the rule that denies it; the rest goes on', () => {
  const rows = [row('10.0.0.1', '10.0.0.3'), row('10.0.0.2', '10.0.0.3'), row('10.0.0.3', '10.0.0.2'), row('198.51.100.7', '10.0.0.3')];
  const { ends, kept, total } = previewEstablished(world(), world(policy(fromWeb)), rows);
  assert.deepEqual(ends.map(c => [c.from, c.to, c.step.direction, c.step.rule.effect]), [['x/job', 'x/db', 'ingress', 'default-deny'], ['198.51.100.7', 'x/db', 'ingress', 'default-deny']]);
  assert.deepEqual([kept.length, total], [0, 4]);
});

test('only the direction in which it was opened is judged', () => {
  const closed = { ...policy([]), spec: { endpointSelector: { matchLabels: { app: 'db' } }, egress: [{}] } };
  const { ends } = previewEstablished(world(), world(closed), [row('10.0.0.1', '10.0.0.3'), row('10.0.0.3', '10.0.0.1')]);
  assert.deepEqual(ends.map(c => [c.from, c.to]), [['x/db', 'x/web']]);
});

test('keep: of the rule that denies; of a default denial, all policies that cause it', () => {
  const keep = { 'policy.cirri.io/established': 'keep' };
  const rows = [row('10.0.0.2', '10.0.0.3')];
  const preview = (...policies: readonly object[]) => {
    const { ends, kept } = previewEstablished(world(), world(...policies), rows);
    return [ends.length, kept.length];
  };
  assert.deepEqual(preview(policy(fromWeb, keep)), [0, 1]);
  assert.deepEqual(preview(policy(fromWeb, keep), policy(fromWeb, {}, 'other')), [1, 0]);
  assert.deepEqual(preview(policy(fromWeb, keep), policy(fromWeb, keep, 'other')), [0, 1]);
});

test('a connection that both nodes know is one; what is closing or was denied before is not counted as cut', () => {
  const twice = [row('10.0.0.2', '10.0.0.3', { sourceEndpoint: 'x/job' }), row('10.0.0.2', '10.0.0.3', { destinationEndpoint: 'x/db', bytes: 900 })];
  const { ends } = previewEstablished(world(), world(policy(fromWeb)), [...twice, row('10.0.0.2', '10.0.0.3', { sourcePort: 1, closing: true })]);
  assert.deepEqual(ends.map(c => [c.row.bytes, c.row.sourceEndpoint, c.row.destinationEndpoint]), [[900, 'x/job', 'x/db']]);
  assert.equal(previewEstablished(world(policy(fromWeb)), world(policy([{ fromEntities: ['health'] }])), twice).ends.length, 0);
});

test('the node of a pod still reaches it, by any of its addresses', () => {
  const rows = [row('192.0.2.1', '10.0.0.3'), row('10.0.0.254', '10.0.0.3'), row('10.0.0.253', '10.0.0.3')];
  const { ends } = previewEstablished(world(), world(policy(fromWeb)), rows, new Map([['10.0.0.254', 'n1']]));
  assert.deepEqual(ends.map(c => c.from), ['10.0.0.253']);
});
