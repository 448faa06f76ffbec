import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { EndpointFlag, RuntimeFlag } from '../datapath/generated/enums.ts';
import { maps as specs } from '../datapath/generated/maps.ts';
import type { NodeMaps } from '../datapath/maps.ts';
import { BpfMap } from '../ebpf/map.ts';
import { endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { Node } from '../kube/types.ts';
import { PolicyEngine } from '../policy/compile.ts';
import { parsePolicy } from '../policy/parse.ts';
import { silentLogger } from '../std/log.ts';
import { parseAddr } from '../std/ip.ts';
import { Table } from '../table/table.ts';
import { hostEndpointId, hostSubject } from './host-policy.ts';
import { Regenerator } from './regenerate.ts';

/* The node's own rows in real maps, from policies that select nodes. */

let maps: NodeMaps;
const opened: { close(): void }[] = [];
before(() => {
  maps = Object.fromEntries((['endpoints', 'ipcache', 'policyClasses', 'policyVerdicts', 'runtime'] as const).map(name => {
    const map = BpfMap.create(specs[name] as never);
    opened.push(map);
    return [name, map];
  })) as unknown as NodeMaps;
});
after(() => opened.forEach(map => map.close()));
beforeEach(() => {
  for (const map of [maps.endpoints, maps.policyClasses, maps.policyVerdicts] as unknown as BpfMap<unknown, unknown>[]) for (const [key] of [...map.entries()]) map.delete(key);
  maps.runtime.update(0, { policyGeneration: 1, flags: 0 });
});

const address = '172.30.0.11';
const policy = (name: string, nodeSelector: object, rules: object) => {
  const { policy, errors } = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec: { nodeSelector, ...rules } });
  assert.ok(policy, JSON.stringify(errors));
  return policy;
};

function world(o: { mode?: 'default' | 'always'; synced?: boolean } = {}) {
  const engine = new PolicyEngine({ mode: o.mode ?? 'default' });
  const state = { stale: new Set() as ReadonlySet<string>, synced: o.synced ?? true, labels: { role: 'edge' } as Record<string, string>, trouble: [] as string[] };
  const regenerator = new Regenerator({
    maps, endpoints: new Table<Endpoint>('endpoints', endpointKey), log: silentLogger, audit: () => false, synced: () => state.synced,
    refreshEngine: () => {
      const { stale } = state;
      state.stale = new Set();
      return { stale, deltas: [] };
    },
    compile: (subject, direction) => engine.compile(subject, direction),
    forget: subject => engine.forget(subject),
    subjectOf: () => { throw new Error('there are no pods'); },
    hostRows: () => [{ address, ifindex: 2, id: hostEndpointId, identity: 1, ingressSet: 0, egressSet: 0, mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:01', ready: true, host: true, audit: false }],
    hostSubject: () => hostSubject({ metadata: { name: 'node1', labels: state.labels } } as unknown as Node),
    takeAddresses: () => ({ rows: [], gone: [] }),
    onTrouble: (_, message) => state.trouble.push(message),
  });
  return {
    state, regenerator,
    run: (...policies: ReturnType<typeof policy>[]) => {
      state.stale = engine.setPolicies(policies);
      regenerator.run();
      return row();
    },
    pass: () => {
      regenerator.run();
      return row();
    },
  };
}

function row() {
  const { ingressSet, egressSet, flags } = maps.endpoints.lookup({ addr: parseAddr(address) })!;
  const verdict = (set: number, port: number) => (set === 0 ? 'open' : { 1: 'allow', 2: 'deny' }[maps.policyVerdicts.lookup({ prefixBits: 96, set, class: 0, protocol: 6, port })?.verdict ?? 0]);
  return {
    isHost: (flags & EndpointFlag.Host) !== 0, flagged: (maps.runtime.lookup(0)!.flags & RuntimeFlag.HostPolicy) !== 0,
    ingress: [verdict(ingressSet, 22), verdict(ingressSet, 80)], egress: [verdict(egressSet, 22), verdict(egressSet, 80)],
  };
}

const open = ['open', 'open'];
const ssh = { ingress: [{ fromEntities: ['all'], toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }] }] };
const anySsh = { ingress: [{ toPorts: [{ ports: [{ port: '22', protocol: 'TCP' }] }] }] };

test('no policy for nodes: no sets, no flag, whatever the policy mode', () => {
  for (const mode of ['default', 'always'] as const) assert.deepEqual(world({ mode }).run(), { isHost: true, flagged: false, ingress: open, egress: open });
});

test('a policy for nodes restricts the direction that it speaks of, and goes without a trace', () => {
  const w = world();
  assert.deepEqual(w.run(policy('edge', { matchLabels: { role: 'edge' } }, anySsh)), { isHost: true, flagged: true, ingress: ['allow', 'deny'], egress: open });
  assert.deepEqual(w.run(policy('edge', {}, { egress: [{}] })), { isHost: true, flagged: true, ingress: open, egress: ['deny', 'deny'] });
  assert.deepEqual(w.run(), { isHost: true, flagged: false, ingress: open, egress: open });
  assert.equal(maps.policyVerdicts.count() + maps.policyClasses.count(), 0);
});

test('peers are classes: what is allowed to some is denied to others', () => {
  const w = world();
  w.run(policy('edge', {}, ssh));
  const set = maps.endpoints.lookup({ addr: parseAddr(address) })!.ingressSet;
  const number = maps.policyClasses.lookup({ set, identity: 2 })?.class ?? 0;
  assert.equal(maps.policyVerdicts.lookup({ prefixBits: 96, set, class: number, protocol: 6, port: 22 })?.verdict, 1);
  assert.equal(maps.policyVerdicts.lookup({ prefixBits: 96, set, class: number, protocol: 6, port: 23 })?.verdict, 2);
});

test('policies for pods and for other nodes leave it alone; new labels of the node count at once', () => {
  const w = world();
  const other = policy('core', { matchLabels: { role: 'core' } }, anySsh);
  const pods = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'pods' }, spec: { endpointSelector: {}, ingress: [{}] } }).policy!;
  assert.deepEqual(w.run(other, pods).ingress, open);
  w.state.labels = { role: 'core' };
  assert.deepEqual(w.pass().ingress, ['allow', 'deny']);
});

test('rules for layer 7 fail closed', () => {
  const { policy: parsed, errors } = parsePolicy({ kind: 'CiliumClusterwideNetworkPolicy', metadata: { name: 'l7' }, spec: { nodeSelector: {}, ingress: [{ toPorts: [{ ports: [{ port: '80', protocol: 'TCP' }], rules: { http: [{ path: '/' }] } }] }] } });
  assert.equal(parsed, undefined);
  assert.match(errors[0]!.message, /host policies do not support L7 rules/);
});

test('a policy that does not fit leaves what was in force, and says so', () => {
  const w = world();
  w.run(policy('edge', {}, anySsh));
  const before = row();
  const { ensure } = w.regenerator.sets;
  w.regenerator.sets.ensure = () => { throw new Error('full'); };
  assert.deepEqual(w.run(policy('edge', {}, { ingress: [{}] })), before);
  assert.deepEqual([w.state.trouble, [...w.regenerator.failures.keys()]], [['full'], ['host']]);
  w.regenerator.sets.ensure = ensure;
  assert.deepEqual(w.pass().ingress, ['deny', 'deny']);
  assert.equal(w.regenerator.failures.size, 0);
});

test('an agent that starts again lets the node\'s policy stand until it has heard all', () => {
  world().run(policy('edge', {}, anySsh));
  const again = world({ synced: false });
  assert.deepEqual(again.pass(), { isHost: true, flagged: true, ingress: ['allow', 'deny'], egress: open });
  again.state.synced = true;
  assert.deepEqual(again.run(), { isHost: true, flagged: false, ingress: open, egress: open });
  assert.equal(maps.policyVerdicts.count(), 0);
});
