import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { NodeMaps } from '../datapath/maps.ts';
import { maps as specs } from '../datapath/generated/maps.ts';
import { BpfMap } from '../ebpf/map.ts';
import { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import { AddressSources } from '../features/addresses/sources.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import { endpointLayout } from '../features/endpoints/layout.ts';
import { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from '../policy/compile.ts';
import { evaluate } from '../policy/evaluate.ts';
import { parsePolicy } from '../policy/parse.ts';
import { policyAddress } from '../policy/policy.ts';
import type { Policy } from '../policy/policy.ts';
import { silentLogger } from '../std/log.ts';
import { formatAddr, parseAddr } from '../std/ip.ts';
import { Table } from '../table/table.ts';
import { EngineChanges } from './engine-changes.ts';
import { Regenerator } from './regenerate.ts';

/*
 * Objects come and go in any order; after each pass the kernel's maps, asked the way the programs ask them, must give the
 * answer of the plain evaluator for every pair of endpoints. Real maps of a real kernel.
 */

const used = ['endpoints', 'ipcache', 'policyClasses', 'policyVerdicts', 'runtime'] as const;
let maps: NodeMaps;
const opened: { close(): void }[] = [];

before(() => {
  maps = Object.fromEntries(used.map(name => {
    const map = BpfMap.create(specs[name] as never);
    opened.push(map);
    return [name, map];
  })) as unknown as NodeMaps;
});
after(() => opened.forEach(map => map.close()));

const apps = ['web', 'api', 'db'] as const;
type App = (typeof apps)[number];
const identityOf: Record<App, number> = { web: 300, api: 301, db: 302 };
const labelsOf = (app: App) => LabelSet.of([`k8s:app=${app}`, 'k8s:io.kubernetes.pod.namespace=shop', 'k8s:io.cilium.k8s.policy.cluster=default']);

const policyObjects = (['allow', 'deny', 'port', 'isolate', 'cidr'] as const).flatMap(kind => apps.map(app => ({ kind, app })));
function policyOf({ kind, app }: { kind: string; app: App }): Policy {
  const next = apps[(apps.indexOf(app) + 1) % apps.length];
  const from = { fromEndpoints: [{ matchLabels: { app: next } }] };
  const spec = {
    allow: { ingress: [from] },
    deny: { ingressDeny: [from] },
    port: { ingress: [{ ...from, toPorts: [{ ports: [{ port: '80', endPort: 90, protocol: 'TCP' }] }] }], egress: [{ toEndpoints: [{ matchLabels: { app: next } }] }] },
    isolate: { ingress: [{}], egress: [{}] },
    cidr: { egress: [{ toCIDRSet: [{ cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] }] }] },
  }[kind];
  const result = parsePolicy({ kind: 'CiliumNetworkPolicy', metadata: { name: `${kind}-${app}`, namespace: 'shop' }, spec: { endpointSelector: { matchLabels: { app } }, ...spec } });
  assert.ok(result.policy, JSON.stringify(result.errors));
  return result.policy;
}

function endpoint(id: number, app: App): Endpoint {
  return {
    id, containerId: `c${id}`, interfaceName: 'eth0', netns: '', namespace: 'shop', podName: `${app}-${id}`, podUid: '', hostInterface: `x${id}`,
    ifindex: 100 + id, mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02', ipv4: `10.244.1.${id + 1}`, ipv6: `fd00:10:244:1::${id + 1}`,
    labels: labelsOf(app).array, identity: identityOf[app], namedPorts: [], createdAt: `2026-01-01T00:00:0${id}Z`,
  };
}

type Step =
  | { readonly do: 'policy'; readonly index: number; readonly present: boolean }
  | { readonly do: 'endpoint'; readonly id: number; readonly app: App | undefined }
  | { readonly do: 'identity'; readonly app: App; readonly present: boolean }
  | { readonly do: 'pass' };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('policy' as const), index: fc.nat(policyObjects.length - 1), present: fc.boolean() }),
  fc.record({ do: fc.constant('endpoint' as const), id: fc.integer({ min: 1, max: 4 }), app: fc.constantFrom(...apps, undefined) }),
  fc.record({ do: fc.constant('identity' as const), app: fc.constantFrom(...apps), present: fc.boolean() }),
  fc.constant({ do: 'pass' as const }),
);

class World {
  readonly endpoints = new Table<Endpoint>('endpoints', endpointKey);
  readonly engine = new PolicyEngine();
  readonly policies = new Map<number, Policy>();
  readonly prefixes = new Map<string, number>();
  readonly regenerator: Regenerator;
  readonly changes = new EngineChanges(this.engine);

  constructor() {
    for (const app of apps) this.engine.upsertIdentity(identityOf[app], labelsOf(app));
    const addresses = new AddressSources({ clusterPrefixes: ['10.244.0.0/16', 'fd00:10:244::/48'], apiServers: [], nodes: [], dualStack: true }, {
      local: this.endpoints, localPod: e => ({ addresses: endpointAddresses(e), identity: e.identity, since: e.createdAt }),
      remote: new Table<never>('none', () => ''), remotePod: () => undefined, isKnown: () => true,
      identities: new Table<{ readonly id: number }>('identities', i => String(i.id)), prefixes: new PrefixIdentities(),
    });
    this.regenerator = new Regenerator({
      maps, endpoints: this.endpoints, log: silentLogger, audit: () => false, synced: () => true,
      refreshEngine: () => this.changes.take(),
      compile: (subject, direction) => this.engine.compile(subject, direction),
      forget: subject => this.engine.forget(subject),
      subjectOf: e => ({ labels: LabelSet.of(e.labels), namedPorts: new Map() }),
      hostRows: () => [],
      takeAddresses: () => addresses.take(),
    });
  }

  apply(action: Step): void {
    if (action.do === 'pass') return void this.regenerator.run();
    if (action.do === 'endpoint') {
      if (action.app) this.endpoints.upsert(endpoint(action.id, action.app));
      else this.endpoints.delete(`c${action.id}/eth0`);
      return;
    }
    if (action.do === 'identity') {
      if (action.present) this.changes.upsertIdentity(identityOf[action.app], labelsOf(action.app));
      else this.changes.removeIdentity(identityOf[action.app]);
      return;
    }
    const policy = policyOf(policyObjects[action.index]!);
    if (action.present) this.policies.set(action.index, policy);
    else this.policies.delete(action.index);
    if (action.present) this.changes.upsertPolicy(policy);
    else this.changes.removePolicy(policyAddress(policy));
  }

  check(): void {
    for (const app of apps) this.apply({ do: 'identity', app, present: true });
    this.regenerator.run();
    assert.deepEqual(this.regenerator.sets.verify(), []);
    const all = [...this.endpoints.rows()];
    for (const subject of all) {
      for (const direction of ['ingress', 'egress'] as const) {
        for (const peer of all) {
          for (const port of [79, 80, 90, 91]) {
            const want = evaluate({ policies: [...this.policies.values()] }, { labels: LabelSet.of(subject.labels), namedPorts: new Map() }, direction, { labels: LabelSet.of(peer.labels) }, 6, port).verdict;
            assert.equal(kernelVerdict(subject, direction, peer, 6, port), want, `${subject.podName} ${direction} ${peer.podName}:${port}`);
          }
        }
      }
    }
    const present = new Set([...maps.endpoints.entries()].map(([key]) => endpointLayout.keyText(key)));
    assert.deepEqual([...present].sort(), all.flatMap(e => endpointAddresses(e)).sort());
    const others = [...maps.endpoints.entries()].map(([key, row]) => [endpointLayout.keyText(key), formatAddr(row.other)] as const);
    assert.deepEqual(new Map(others), new Map(all.flatMap(e => [[e.ipv4!, e.ipv6!], [e.ipv6!, e.ipv4!]] as const)), 'each row knows the other address of its pod');
    const sets = new Set([...maps.endpoints.entries()].flatMap(([, row]) => [row.ingressSet, row.egressSet]));
    assert.deepEqual(new Set([...maps.policyVerdicts.entries()].map(([key]) => key.set)), sets, 'no set is left that nobody points to');
  }
}

/** What `bpf/lib/policy.h` does: endpoint → set, peer address → identity → class, longest prefix over protocol and port. */
function kernelVerdict(subject: Endpoint, direction: 'ingress' | 'egress', peer: Endpoint, protocol: number, port: number): string {
  const row = maps.endpoints.lookup({ addr: parseAddr(subject.ipv4!) });
  const set = (direction === 'ingress' ? row?.ingressSet : row?.egressSet) ?? 0;
  const identity = maps.ipcache.lookup({ prefixBits: 128, addr: parseAddr(peer.ipv4!) })?.identity ?? 0;
  const number = maps.policyClasses.lookup({ set, identity })?.class ?? 0;
  const verdict = maps.policyVerdicts.lookup({ prefixBits: 96, set, class: number, protocol, port });
  return verdict?.verdict === 1 ? 'allow' : verdict?.verdict === 2 ? 'deny' : 'not ready';
}

test('any order of policies and endpoints leaves the kernel with the evaluator\'s answers, and with nothing else', () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 25 }), steps => {
    const world = new World();
    for (const action of steps) world.apply(action);
    world.check();
    // The next life adopts what is there, whatever it finds.
    const again = new World();
    for (const action of steps) if (action.do !== 'pass') again.apply(action);
    again.check();
    for (const key of [...again.endpoints.keys()]) again.endpoints.delete(key);
    again.regenerator.run();
  }), { numRuns: 60 });
});
