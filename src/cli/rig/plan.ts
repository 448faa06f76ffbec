/** From a conformance case to what the rig has to make and to try. Pure. */
import type { CaseFile, Cluster, ClusterPod, ConformanceCase, End, KubernetesObject, Probe } from '../../policy/conformance/case.ts';
import { probesOf } from '../../policy/conformance/connectivity.ts';
import { isAddr, isIPv4, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { admissible } from './admissible.ts';
import { isMartian, standInFor } from './stand-in.ts';

export type ConformanceCases = CaseFile['cases'];

/** Where a probe begins or ends in the rig. Pods and nodes have the rig's addresses, the outside has the case's. */
export type Place =
  | { readonly kind: 'pod'; readonly key: string }
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'outside'; readonly address: string };

export interface PlannedProbe {
  readonly probe: Probe;
  readonly from: Place;
  /** All of them must be reached: a name may have several addresses. */
  readonly to: readonly Place[];
}

export interface PlannedPod extends ClusterPod {
  /** `ns/name` */
  readonly key: string;
  /** The rig's node. */
  readonly node: string;
}

export interface CasePlan {
  readonly namespaces: Cluster['namespaces'];
  readonly pods: readonly PlannedPod[];
  /** The rig's node → labels that the case gives it. */
  readonly nodeLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly policies: readonly KubernetesObject[];
  readonly probes: readonly PlannedProbe[];
  /** Reasons of probes that cannot be tried. */
  readonly skipped: readonly string[];
  /** The case's own address → who has it; the rig's addresses are known once it runs. */
  readonly addresses: ReadonlyMap<string, Place>;
}

export interface RigFacts {
  /** Names of the rig's nodes. */
  readonly nodes: readonly string[];
  /** Prefixes that the rig itself uses: an address in them cannot be outside. */
  readonly prefixes: readonly string[];
}

export function planCase(testCase: ConformanceCase, facts: RigFacts): CasePlan {
  const cluster = testCase.cluster ?? { namespaces: [], pods: [] };
  const nodeOf = nodeMapping(cluster, facts.nodes);
  const pods = cluster.pods.filter(p => !p.host_network).map((pod, i): PlannedPod => ({ ...pod, key: `${pod.namespace}/${pod.name}`, node: nodeOf.get(pod.node ?? '') ?? facts.nodes[i % facts.nodes.length]! }));
  const addresses = caseAddresses(cluster, nodeOf);
  const context: ProbeContext = { cluster, nodeOf, addresses, facts, policies: testCase.policies ?? [], standIns: new Map() };
  const probes: PlannedProbe[] = [];
  const skipped: string[] = [];
  for (const probe of probesOf(testCase)) {
    const planned = planProbe(probe, context);
    if (typeof planned === 'string') skipped.push(planned);
    else probes.push(planned);
  }
  return {
    namespaces: withPolicyNamespaces(cluster.namespaces, [...pods, ...(testCase.policies ?? []).map(p => p.metadata)]),
    pods, policies: (testCase.policies ?? []).map(admissible), probes, skipped, addresses,
    nodeLabels: new Map((cluster.nodes ?? []).flatMap(node => (nodeOf.has(node.name) ? [[nodeOf.get(node.name)!, node.labels ?? {}] as const] : []))),
  };
}

/** What pods must share to be the same pods: all that cannot be changed in place. */
export function podShape(pod: PlannedPod): string {
  return JSON.stringify([pod.key, pod.node, pod.service_account ?? '', pod.ports ?? []]);
}

/** So many nodes do these cases need. */
export function nodesNeeded(cases: ConformanceCases): number {
  return Math.max(2, ...cases.map(c => c.cluster?.nodes?.length ?? 0));
}

/** Cases with the same pods follow each other, so that they are made once; otherwise the order of the file. */
export function inRigOrder(cases: ConformanceCases): ConformanceCases {
  const groups = new Map<string, ConformanceCase[]>();
  for (const testCase of cases) {
    const key = JSON.stringify((testCase.cluster?.pods ?? []).map(p => [p.namespace, p.name, p.node, p.service_account, p.ports]));
    groups.set(key, [...(groups.get(key) ?? []), testCase]);
  }
  return [...groups.values()].flat();
}

interface ProbeContext {
  readonly cluster: Cluster;
  readonly nodeOf: ReadonlyMap<string, string>;
  readonly addresses: ReadonlyMap<string, Place>;
  readonly facts: RigFacts;
  readonly policies: readonly KubernetesObject[];
  readonly standIns: Map<string, string | undefined>;
}

/** A string says why it cannot be tried. */
function planProbe(probe: Probe, context: ProbeContext): PlannedProbe | string {
  if (probe.http !== undefined && probe.protocol !== 'TCP') return 'a request goes over TCP';
  const from = placesOf(probe.from, context);
  const to = placesOf(probe.to, context);
  if (typeof from === 'string') return from;
  if (typeof to === 'string') return to;
  if (from.length !== 1 || to.length === 0) return 'a name without an IPv4 address cannot be tried';
  if (from[0]!.kind === 'outside' && to.some(place => place.kind === 'outside')) return 'both ends lie outside the cluster';
  return { probe, from: from[0]!, to };
}

function placesOf(end: End, context: ProbeContext): readonly Place[] | string {
  const { cluster, nodeOf, facts } = context;
  if (end.pod !== undefined) {
    const pod = cluster.pods.find(p => `${p.namespace}/${p.name}` === end.pod);
    if (!pod) throw new Error(`no pod ${end.pod}`);
    return [pod.host_network ? { kind: 'node', name: nodeOf.get(pod.node ?? '') ?? facts.nodes[0]! } : { kind: 'pod', key: end.pod }];
  }
  if (end.node !== undefined) {
    const name = nodeOf.get(end.node);
    if (name === undefined) throw new Error(`no node ${end.node}`);
    return [{ kind: 'node', name }];
  }
  if (end.fqdn !== undefined) return all((cluster.dns?.[end.fqdn] ?? []).filter(a => isIPv4(parseAddr(a))).map(a => placeOfAddress(a, context)));
  if (end.ip === undefined || !isAddr(end.ip)) throw new Error(`not an address: ${end.ip}`);
  return all([placeOfAddress(end.ip, context)]);
}

function all(places: readonly (Place | string)[]): readonly Place[] | string {
  return places.find(p => typeof p === 'string') ?? (places as readonly Place[]);
}

function placeOfAddress(address: string, { addresses, facts, policies, standIns }: ProbeContext): Place | string {
  const known = addresses.get(address);
  if (known) return known;
  const ownPrefix = (text: string) => facts.prefixes.find(prefix => prefixHas(parsePrefix(prefix), parseAddr(text)));
  const own = ownPrefix(address);
  if (own !== undefined) return `${address} lies in ${own}, which the rig uses itself`;
  if (!isMartian(address)) return { kind: 'outside', address };
  if (!standIns.has(address)) standIns.set(address, standInFor(address, policies, text => addresses.has(text) || ownPrefix(text) !== undefined));
  const standIn = standIns.get(address);
  return standIn === undefined ? `no packet can bear ${address}, and the policies tell it from every address that one can` : { kind: 'outside', address: standIn };
}

/** The case's nodes in their order onto the rig's. */
function nodeMapping(cluster: Cluster, nodes: readonly string[]): ReadonlyMap<string, string> {
  const names = [...new Set([...(cluster.nodes ?? []).map(n => n.name), ...cluster.pods.flatMap(p => (p.node === undefined ? [] : [p.node]))])];
  return new Map(names.map((name, i) => [name, nodes[i % nodes.length]!]));
}

function caseAddresses(cluster: Cluster, nodeOf: ReadonlyMap<string, string>): ReadonlyMap<string, Place> {
  const nodes = (cluster.nodes ?? []).flatMap(node => node.ips.map(ip => [ip, { kind: 'node', name: nodeOf.get(node.name)! }] as const));
  const pods = cluster.pods.flatMap(pod => (pod.ip === undefined || pod.host_network ? [] : [[pod.ip, { kind: 'pod', key: `${pod.namespace}/${pod.name}` }] as const]));
  return new Map<string, Place>([...nodes, ...pods]);
}

/** Namespaces that only pods or policies speak of are needed too. */
function withPolicyNamespaces(declared: Cluster['namespaces'], users: readonly { readonly namespace?: string }[]): Cluster['namespaces'] {
  const names = new Set(declared.map(n => n.name));
  const more = [...new Set(users.flatMap(u => (u.namespace === undefined || names.has(u.namespace) ? [] : [u.namespace])))];
  return [...declared, ...more.map(name => ({ name }))];
}
