import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TestServer } from '../apiserver/testing.ts';
import { KubeClient } from '../kube/client.ts';
import { reflect } from '../kube/reflector.ts';
import { resources } from '../kube/resources.ts';
import type { Condition, KubeObject } from '../kube/types.ts';
import type { PolicyNodeStatus } from '../model/policy-status.ts';
import { startPolicyStatus } from '../operator/policy-status.ts';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import { keepOwnStatus } from './inputs.ts';
import type { PolicyReport } from './policy-inputs.ts';
import { PolicyStatusWriter } from './policy-status.ts';

/* Two nodes and the operator against a real API: what each says, what is summed up, and how many writes it takes. */

type Answer = (object: KubeObject) => Pick<PolicyReport, 'enforced' | 'error' | 'pending'>;
const inForce: Answer = () => ({ enforced: true });

class Node {
  readonly reflector;
  readonly writer: PolicyStatusWriter;
  answer: Answer;
  constructor(name: string, client: KubeClient, signal: AbortSignal, answer: Answer, perSecond = 50) {
    this.answer = answer;
    const resource = resources.ciliumNetworkPolicies;
    this.reflector = reflect<KubeObject>({ client, resource, signal, log: silentLogger, keep: object => keepOwnStatus(object, name) });
    this.writer = new PolicyStatusWriter({ nodeName: name, gatherMs: 20, perSecond }, {
      client, log: silentLogger, signal, sources: [{ resource, table: this.reflector.table }],
      reports: () => [...this.reflector.table.rows()].map(object => ({
        address: `CiliumNetworkPolicy/${object.metadata.namespace}/${object.metadata.name}`, errors: [], conditions: [],
        uid: object.metadata.uid!, generation: object.metadata.generation!, resourceVersion: object.metadata.resourceVersion!, ...this.answer(object),
      })),
    });
    void this.writer.run();
  }
}

let api: TestServer;
let client: KubeClient;
let abort: AbortController;
before(async () => {
  api = await TestServer.start();
  client = new KubeClient({ socketPath: api.paths.apiserverSocket });
  abort = new AbortController();
  for (const name of ['n1', 'n2']) await client.create(resources.nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
  startPolicyStatus({ client, signal: abort.signal, log: silentLogger, clusterName: 'default' });
});
after(async () => {
  abort.abort(new Error('done'));
  client.close();
  await api[Symbol.asyncDispose]();
});

const policy = (name: string, more: object = {}): KubeObject => ({
  apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'default', ...more }, spec: { endpointSelector: {}, ingress: [{ fromEndpoints: [{}] }] },
});
const get = async (name: string) => (await client.get(resources.ciliumNetworkPolicies, name, 'default'))!;
const nodesOf = (object: KubeObject) => (object.status as { nodes?: Record<string, PolicyNodeStatus> } | undefined)?.nodes ?? {};
const enforced = (object: KubeObject) => (object.status as { conditions?: Condition[] } | undefined)?.conditions?.find(c => c.type === 'Enforced');
const until = (name: string, what: string, holds: (object: KubeObject) => boolean) => waitFor(what, async () => {
  const object = await get(name);
  return holds(object) && object;
});

test('each node says what it enforces, the operator sums it up, and an update that is refused says so', { timeout: 30_000 }, async test => {
  const n1 = new Node('n1', client, test.signal, inForce);
  const n2 = new Node('n2', client, test.signal, () => ({ enforced: false, pending: true, error: 'not loaded into the kernel yet' }));
  await client.create(resources.ciliumNetworkPolicies, policy('p'));
  const first = await until('p', 'the word of n1', object => nodesOf(object)['n1']?.enforcing === true && enforced(object) !== undefined);
  assert.deepEqual(Object.keys(nodesOf(first)), ['n1'], 'a node that loads it in a moment says nothing before');
  assert.deepEqual([enforced(first)?.status, enforced(first)?.reason], ['False', 'Pending']);

  n2.answer = () => ({ enforced: false, error: 'the policy needs 9 more entries in policy_verdicts, which holds 1 of 2' });
  n2.writer.mark();
  const refused = await until('p', 'the word of n2', object => enforced(object)?.reason === 'NotEnforced');
  assert.equal(enforced(refused)?.message, 'in force on 1 of 2 nodes\nn2: the policy needs 9 more entries in policy_verdicts, which holds 1 of 2');

  n2.answer = inForce;
  n2.writer.mark();
  const done = await until('p', 'both', object => enforced(object)?.status === 'True');
  assert.equal(enforced(done)?.message, 'in force on 2 of 2 nodes');
  assert.deepEqual(Object.keys(nodesOf(done)['n2']!).sort(), ['enforcing', 'lastUpdated', 'observedGeneration', 'ok'], 'the error of before is gone');

  n1.answer = n2.answer = () => ({ enforced: false, pending: true });
  await client.patch(resources.ciliumNetworkPolicies, 'p', 'default', { metadata: { annotations: { 'policy.cirri.io/mode': 'shadow' } } }, { type: 'merge' });
  await until('p', 'that the old word is about another version', object => enforced(object)?.reason === 'Pending');
  n1.answer = n2.answer = inForce;
  n1.writer.mark();
  n2.writer.mark();
  await until('p', 'the shadow', object => enforced(object)?.reason === 'Shadow' && enforced(object)?.status === 'False');
  await client.delete(resources.nodes, 'n2');
  await until('p', 'the word of the gone node to go', object => nodesOf(object)['n2'] === undefined && nodesOf(object)['n1'] !== undefined);
});

test('a mistyped annotation is refused at admission, of an object that is there already too', async () => {
  await assert.rejects(client.patch(resources.ciliumNetworkPolicies, 'p', 'default', { metadata: { annotations: { 'policy.cirri.io/mode': 'shadwo' } } }, { type: 'merge' }), /policy\.cirri\.io\/mode/);
});

test('many policies cost one write a node each and two of the operator\'s, at a bounded rate; then all is quiet', { timeout: 60_000 }, async t => {
  const many = 150;
  await client.create(resources.nodes, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2' } });
  // Before the nodes look: what they would say of it would count.
  await client.delete(resources.ciliumNetworkPolicies, 'p', 'default');
  const nodes = ['n1', 'n2'].map(name => new Node(name, client, t.signal, inForce, 100));
  const version = async () => Number((await client.list(resources.ciliumNetworkPolicies)).metadata.resourceVersion);
  const start = await version();
  const started = performance.now();
  for (let i = 0; i < many; i++) await client.create(resources.ciliumNetworkPolicies, policy(`q${i}`));
  const seen = reflect<KubeObject>({ client, resource: resources.ciliumNetworkPolicies, signal: abort.signal, log: silentLogger }).table;
  const allInForce = (count: number) => waitFor(`${count} to be in force`, () => [...seen.rows()].filter(object => enforced(object)?.status === 'True').length === count, { timeoutMs: 40_000 });
  await allInForce(many);
  const seconds = (performance.now() - started) / 1000;
  const writes = await version() - start - many;
  t.diagnostic(`${many} policies on 2 nodes: ${writes} writes of status in ${seconds.toFixed(1)} s`);
  assert.deepEqual(nodes.map(({ writer }) => writer.patches), [many, many]);
  assert.ok(writes <= 4 * many, `${writes} writes of status for ${many} policies`);
  assert.ok(many / seconds <= 110, `${many} patches of a node in ${seconds} s`);
  // Another turn has nothing to say but of what is new.
  nodes.forEach(({ writer }) => writer.mark());
  await client.create(resources.ciliumNetworkPolicies, policy('last'));
  await allInForce(many + 1);
  assert.deepEqual(nodes.map(({ writer }) => writer.patches), [many + 1, many + 1]);
});
