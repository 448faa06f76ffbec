/**
 * One node's agent as far as policy goes, on maps of its own in the kernel: the agent's modules, wired as src/agent/agent.ts does, with
 * the API replaced by tables that a benchmark fills.
 */
import { EngineChanges } from '../../../src/agent/engine-changes.ts';
import { Enforcement } from '../../../src/agent/enforcement.ts';
import type { Inputs } from '../../../src/agent/inputs.ts';
import { LocalIdentities } from '../../../src/agent/local-identities.ts';
import { PolicyInputs } from '../../../src/agent/policy-inputs.ts';
import { Regenerator } from '../../../src/agent/regenerate.ts';
import { maps as specs } from '../../../src/datapath/generated/maps.ts';
import type { NodeMaps } from '../../../src/datapath/maps.ts';
import { BpfMap } from '../../../src/ebpf/map.ts';
import { NetworkIdentities } from '../../../src/features/addresses/network-identities.ts';
import { NodeIdentities } from '../../../src/features/addresses/node-identities.ts';
import { PrefixIdentities } from '../../../src/features/addresses/prefix-identities.ts';
import { AddressSources } from '../../../src/features/addresses/sources.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../../../src/features/endpoints/endpoint.ts';
import { endpointObject, remotePod, type CiliumEndpoint } from '../../../src/features/endpoints/objects.ts';
import type { Identity } from '../../../src/features/identities/allocate.ts';
import { objectKey } from '../../../src/kube/reflector.ts';
import type { KubeObject, Node } from '../../../src/kube/types.ts';
import type { LabelSet } from '../../../src/model/labels.ts';
import { PolicyEngine } from '../../../src/policy/compile.ts';
import type { PolicyObject } from '../../../src/policy/testing-size.ts';
import { silentLogger } from '../../../src/std/log.ts';
import { Table } from '../../../src/table/table.ts';

const ownAddress = '172.30.0.11';
const otherAddress = '172.30.0.12';
const used = ['endpoints', 'ipcache', 'policyClasses', 'policyVerdicts', 'runtime'] as const;
const tableOf: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networkPolicies', CiliumNetworkPolicy: 'ciliumNetworkPolicies', CiliumClusterwideNetworkPolicy: 'ciliumClusterwideNetworkPolicies',
};

export class BenchNode {
  readonly engine = new PolicyEngine({ mode: 'default' });
  readonly identities = new Table<Identity>('identities', identity => String(identity.id));
  readonly endpoints = new Table<Endpoint>('endpoints', endpointKey);
  readonly regenerator: Regenerator;
  readonly maps: NodeMaps;
  readonly #tables = new Map<string, Table<KubeObject>>();
  readonly #policies: PolicyInputs;
  readonly #enforcement: Enforcement;

  /** `given`: maps of loaded programs; without them the node has its own. */
  constructor(given?: NodeMaps) {
    this.maps = given ?? Object.fromEntries(used.map(name => [name, BpfMap.create(specs[name] as never)])) as unknown as NodeMaps;
    const inputs = new Proxy({}, { get: (_, name: string) => ({ table: this.#table(name) }) }) as unknown as Inputs;
    const { engine, identities, endpoints } = this;
    const changes = new EngineChanges(engine);
    const prefixes = new PrefixIdentities();
    const [nodeIdentities, networkIdentities] = [new NodeIdentities(), new NetworkIdentities()];
    const nodes = [{ name: 'own', local: true, underlay: [ownAddress], routers: ['10.0.0.1'] }, { name: 'other', local: false, underlay: [otherAddress], routers: ['10.1.0.1'], tunnel: otherAddress }];
    const remote = this.#table('ciliumEndpoints') as Table<CiliumEndpoint>;
    this.#policies = new PolicyInputs({
      inputs, identities, engine: changes, prefixes, isSynced: () => true, clusterName: 'default',
      local: namedPorts => new LocalIdentities(
        { nodes: nodes.map(node => ({ ...node, addresses: [...node.underlay, ...node.routers] })), ownNodeAddress: ownAddress, clusterName: 'default' },
        { nodes: this.#table('nodes') as Table<Node>, endpoints, ciliumEndpoints: remote, identities, engine: changes, nodeIdentities, networkIdentities, namedPorts, allFlipped: () => this.regenerator.endpointReconciler.settled },
      ),
    });
    const addresses = new AddressSources({ clusterPrefixes: ['10.0.0.0/8'], apiServers: [], nodes, dualStack: true }, {
      local: endpoints, localPod: one => ({ addresses: endpointAddresses(one), identity: one.identity, since: one.createdAt }),
      remote, remotePod: object => remotePod(object, { ownNodeAddress: ownAddress, tunnel: true }),
      isKnown: id => id < 256 || identities.has(String(id)), identities, prefixes, nodeIdentities, networkIdentities,
    });
    this.regenerator = new Regenerator({
      maps: this.maps, endpoints, log: silentLogger, audit: () => false, synced: () => true,
      policyIdentity: (one, address) => networkIdentities.of(one.identity, address),
      refreshEngine: () => this.#policies.refresh(),
      compile: (subject, direction) => engine.compile(subject, direction),
      forget: subject => engine.forget(subject),
      subjectOf: one => this.#policies.subjectOf(one),
      hostRows: () => [],
      takeAddresses: () => addresses.take(),
      onPass: () => this.#enforcement.passed(this.#policies.revision),
    });
    this.#enforcement = new Enforcement({
      endpoints, isSynced: () => true, failures: () => this.regenerator.failures, rowErrors: () => this.regenerator.endpointReconciler.statuses(),
      hasSets: one => this.regenerator.setsOf(one) !== undefined, host: () => undefined,
    });
  }

  addIdentity(id: number, labels: LabelSet): void {
    this.identities.upsert({ id, labels });
  }

  addRemotePods(...pods: readonly Endpoint[]): void {
    for (const pod of pods) this.#table('ciliumEndpoints').upsert(endpointObject(pod, otherAddress));
  }

  removeRemotePod(pod: Endpoint): void {
    this.#table('ciliumEndpoints').delete(`${pod.namespace}/${pod.podName}`);
  }

  addPolicies(...objects: readonly PolicyObject[]): void {
    for (const object of objects) this.#table(tableOf[object.kind]!).upsert(object as unknown as KubeObject);
  }

  removePolicy({ kind, metadata }: PolicyObject): void {
    this.#table(tableOf[kind]!).delete(metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`);
  }

  /** One pass: what the tables say is written, read back and equal. Throws when something could not be brought into force. */
  pass(): void {
    this.regenerator.run();
    for (const failure of this.regenerator.failures.values()) throw new Error(failure.message);
    if (this.regenerator.addressReconciler.failed + this.regenerator.endpointReconciler.failed > 0) throw new Error('a row could not be written');
  }

  /** Whether each object is in force as it is now, as the agent reports it. */
  isEnforced(object: PolicyObject): boolean {
    const { name, namespace } = object.metadata;
    const version = this.#policies.version(`${object.kind}/${namespace ?? ''}/${name}`);
    return version !== undefined && this.#enforcement.of(version, []).enforced;
  }

  #table(name: string): Table<KubeObject> {
    const known = this.#tables.get(name);
    if (known) return known;
    const table = new Table<KubeObject>(name, objectKey);
    this.#tables.set(name, table);
    return table;
  }
}

/** Pod `id` with these labels; addresses follow from the number. */
export function benchPod(id: number, labels: LabelSet, namespace: string): Endpoint {
  const address = `10.${100 + (id >> 16)}.${(id >> 8) & 255}.${id & 255}`;
  return {
    id, containerId: `c${id}`, interfaceName: 'eth0', netns: '', namespace, podName: `pod-${id}`, podUid: '', hostInterface: `x${id}`, ifindex: 1_000 + id,
    mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02', ipv4: address, ipv6: `fd00::${id.toString(16)}`,
    labels: labels.array, identity: 256 + id, namedPorts: [], createdAt: '2026-01-01T00:00:00Z',
  };
}
