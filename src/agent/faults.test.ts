import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndpointFlag } from '../datapath/generated/enums.ts';
import { maps as specs } from '../datapath/generated/maps.ts';
import type { NodeMaps } from '../datapath/maps.ts';
import { BpfMap } from '../ebpf/map.ts';
import { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import { AddressSources } from '../features/addresses/sources.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from '../policy/compile.ts';
import { parsePolicy } from '../policy/parse.ts';
import { silentLogger } from '../std/log.ts';
import { parseAddr } from '../std/ip.ts';
import { Table } from '../table/table.ts';
import { EngineChanges } from './engine-changes.ts';
import { Regenerator } from './regenerate.ts';

/* Real kernel maps that are too small: what does not fit is a status and a word to the user; what was in force stays; when there is room it comes right by itself. */

type Sizes = Partial<Record<'endpoints' | 'ipcache' | 'policyClasses' | 'policyVerdicts', number>>;

function world(sizes: Sizes, options: { readonly synced?: boolean; readonly maps?: NodeMaps } = {}) {
  const opened = (['endpoints', 'ipcache', 'policyClasses', 'policyVerdicts', 'runtime'] as const).map(name => {
    const spec = { ...specs[name], maxEntries: (sizes as Record<string, number>)[name] ?? specs[name].maxEntries };
    return [name, BpfMap.create(spec as never)] as const;
  });
  const maps = options.maps ?? Object.fromEntries(opened) as unknown as NodeMaps;
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const engine = new PolicyEngine();
  const labels = LabelSet.of(['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop']);
  engine.upsertIdentity(300, labels);
  const told: string[] = [];
  const audited = new Set<string>();
  const broken = { now: false };
  const changes = new EngineChanges(engine);
  let synced = options.synced ?? true;
  const addresses = new AddressSources({ clusterPrefixes: [], apiServers: [], nodes: [], dualStack: true }, {
    local: endpoints, localPod: e => ({ addresses: endpointAddresses(e), identity: e.identity, since: e.createdAt }),
    remote: new Table<never>('none', () => ''), remotePod: () => undefined, isKnown: () => true,
    identities: new Table<{ readonly id: number }>('identities', i => String(i.id)), prefixes: new PrefixIdentities(),
  });
  const regenerator = new Regenerator({
    maps, endpoints, log: silentLogger, audit: e => audited.has(e.podName), synced: () => synced,
    onTrouble: (about, message) => told.push(`${about.endpoint?.podName ?? about.address}: ${message}`),
    refreshEngine: () => changes.take(),
    forget: subject => engine.forget(subject),
    compile: (subject, direction) => {
      if (broken.now) throw new Error('no memory');
      return engine.compile(subject, direction);
    },
    subjectOf: () => ({ labels, namedPorts: new Map() }),
    hostRows: () => [],
    takeAddresses: () => addresses.take(),
  });
  return {
    maps, endpoints, regenerator, told, audited, broken,
    setSynced() { synced = true; },
    setPolicies(ports: number) {
      const result = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: 'many', namespace: 'shop' }, spec: {
        endpointSelector: {}, ingress: Array.from({ length: ports }, (_, i) => ({ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts: [{ ports: [{ port: String(1000 + 2 * i), protocol: 'TCP' }] }] })),
      } });
      changes.upsertPolicy(result.policy!);
    },
    [Symbol.dispose]() { for (const [, map] of opened) map.close(); },
  };
}

const pod = (id: number): Endpoint => ({
  id, containerId: `c${id}`, interfaceName: 'eth0', netns: '', namespace: 'shop', podName: `web-${id}`, podUid: '', hostInterface: `x${id}`, ifindex: 100 + id,
  mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02', ipv4: `10.244.1.${id + 1}`, labels: ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=shop'], identity: 300, namedPorts: [], createdAt: '',
});

test('a policy that does not fit is refused with the numbers; the sets in force stay, and the pod hears of it', () => {
  using w = world({ policyVerdicts: 20 });
  w.endpoints.upsert(pod(1));
  w.setPolicies(5);
  w.regenerator.run();
  const before = w.maps.endpoints.lookup({ addr: parseAddr('10.244.1.2') });
  assert.ok(before && before.ingressSet !== 0);
  w.setPolicies(50);
  w.regenerator.run();
  assert.deepEqual(w.maps.endpoints.lookup({ addr: parseAddr('10.244.1.2') }), before, 'the endpoint keeps its sets');
  assert.match(w.told.join('\n'), /web-1: the policy needs \d+ more entries in policy_verdicts, which holds \d+ of 20/);
  assert.equal(w.regenerator.failures.size, 1);
  w.setPolicies(4);
  w.regenerator.run();
  assert.equal(w.regenerator.failures.size, 0, 'a policy that fits again comes into force');
});

test('a pod whose row does not fit is not ready, says so, and harms nobody', () => {
  using w = world({ endpoints: 1 });
  w.setPolicies(1);
  w.endpoints.upsert(pod(1));
  w.regenerator.run();
  w.endpoints.upsert(pod(2));
  assert.throws(() => w.regenerator.makeReady(pod(2)), /10\.244\.1\.3 could not be written.*full at 1/);
  assert.ok(w.maps.endpoints.lookup({ addr: parseAddr('10.244.1.2') }));
  assert.match(w.told.join('\n'), /10\.244\.1\.3: .*endpoints.*full at 1/);
  w.endpoints.delete('c2/eth0');
  w.regenerator.run();
  assert.deepEqual([...w.regenerator.endpointReconciler.statuses()], []);
});

test('an ipcache that is full leaves the rest as it is and names each address that is missing', () => {
  using w = world({ ipcache: 3 });
  w.setPolicies(1);
  w.endpoints.upsert(pod(1), pod(2), pod(3));
  w.regenerator.run();
  assert.equal(w.maps.ipcache.count(), 3);
  const failed = [...w.regenerator.addressReconciler.statuses()];
  assert.equal(failed.length, 2);
  assert.ok(failed.every(status => status.state === 'error' && /ipcache.*full at 3/.test(status.error ?? '')));
  assert.equal(w.told.length, 2);
});

test('an endpoint is in audit from the pass after it was asked for until the pass after it was taken back', () => {
  using w = world({});
  const audits = () => ((w.maps.endpoints.lookup({ addr: parseAddr('10.244.1.2') })?.flags ?? 0) & EndpointFlag.Audit) !== 0;
  w.setPolicies(1);
  w.endpoints.upsert(pod(1));
  w.regenerator.run();
  assert.equal(audits(), false);
  w.audited.add('web-1');
  w.regenerator.run();
  assert.equal(audits(), true);
  // The next life of the agent knows no annotation before its first lists.
  using next = world({}, { synced: false, maps: w.maps });
  next.endpoints.upsert(pod(1));
  next.regenerator.run();
  assert.equal(audits(), true, 'what passed goes on passing while an agent starts');
  next.setPolicies(1);
  next.setSynced();
  next.regenerator.run();
  assert.equal(audits(), false);
});

test('what could not be compiled leaves what was in force, and is tried again', () => {
  using w = world({});
  w.endpoints.upsert(pod(1));
  w.setPolicies(1);
  w.regenerator.run();
  const before = w.regenerator.setsOf(pod(1))?.ingress.key;
  w.setPolicies(3);
  w.broken.now = true;
  w.regenerator.run();
  assert.deepEqual([w.regenerator.setsOf(pod(1))?.ingress.key, [...w.regenerator.failures.values()].map(failure => failure.message)], [before, ['no memory']]);
  w.broken.now = false;
  w.regenerator.run();
  assert.notEqual(w.regenerator.setsOf(pod(1))?.ingress.key, before);
  assert.equal(w.regenerator.failures.size, 0);
});
