/** The ends of a connection as people name them: a pod, a workload, a service, an address, a prefix, an entity. */
import { cidrContains, reserved } from '../model/identity.ts';
import { EndpointSelector } from '../model/selector.ts';
import { CirriError } from '../std/errors.ts';
import { formatPrefix, isAddr, parseAddr, parsePrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';
import { protocolNumber } from './matchers.ts';
import { protocolName } from './policy.ts';
import type { Direction } from './policy.ts';
import type { ScenarioPod, ScenarioService } from './scenario.ts';
import { kubernetesLabels } from './scenario.ts';
import { entityIdentities } from './world.ts';
import type { World } from './world.ts';

/**
 * One party. A node is the local host to its own pods and a remote node to all others; `host` is whichever node the other end
 * is on. `name`: pods were told the address for that name.
 */
export type End =
  | { readonly type: 'pod'; readonly text: string; readonly pod: ScenarioPod }
  | { readonly type: 'node'; readonly text: string; readonly node: string | undefined; readonly local?: true }
  | { readonly type: 'identity'; readonly text: string; readonly identity: number; readonly prefix?: string; readonly name?: string };

/** What a name stands for: several parties where a workload's pods differ, or a prefix is cut by policies. */
export interface Target {
  readonly text: string;
  readonly ends: readonly End[];
  readonly service?: ScenarioService;
  readonly notes: readonly string[];
}

export function resolveEnd(world: World, text: string, namespace = 'default'): Target {
  const bare = text.trim();
  const service = /^(?:service|svc)[\s:/]+(.+)$/.exec(bare)?.[1] ?? /^([^.\s]+\.[^.\s]+)\.svc(?:\..*)?$/.exec(bare)?.[1]?.split('.').reverse().join('/');
  if (service !== undefined) return serviceTarget(world, service, namespace);
  if (bare === 'host') return { text: bare, ends: [hostEnd(world)], notes: [] };
  if (Object.hasOwn(entityIdentities, bare)) return { text: bare, ends: [identityEnd(bare, entityIdentities[bare]!)], notes: [] };
  const node = /^node[\s:/]+(.+)$/.exec(bare)?.[1];
  if (node !== undefined) return nodeTarget(world, bare, node);
  if (isAddr(bare)) return addressTarget(world, bare);
  const prefix = prefixOf(bare);
  if (prefix) return prefixTarget(world, prefix);
  const pods = podsNamed(world, bare, namespace);
  if (pods.length > 0) return { text: bare, ends: distinct(world, pods), notes: [] };
  if (!bare.includes('/') && /\.[a-z]{2,}\.?$/i.test(bare)) {
    return { text: bare, ends: [{ ...identityEnd(bare, reserved.worldIPv4), name: bare }], notes: [nameNote(world, bare)] };
  }
  throw unknownEnd(world, bare, namespace);
}

/** The target as addresses that pods were told for a name: what is outside the cluster only has names. */
export function namedTarget(world: World, target: Target, name: string): Target {
  return { ...target, ends: target.ends.map(end => (end.type === 'identity' ? { ...end, name } : end)), notes: [...target.notes, nameNote(world, name)] };
}

function nameNote(world: World, name: string): string {
  return world.identityOfName(name) === undefined ? `no policy selects the name ${name}: it is judged as an address outside that no policy names` : `judged as an address outside that the pod was told for ${name}`;
}

export function podEnd(pod: ScenarioPod): End {
  const text = `${pod.namespace}/${pod.name}`;
  return pod.hostNetwork ? { type: 'node', text, node: pod.node } : { type: 'pod', text, pod };
}

export function identityEnd(text: string, identity: number, prefix?: string): Extract<End, { readonly type: 'identity' }> {
  return { type: 'identity', text, identity, ...(prefix !== undefined && { prefix }) };
}

/** The node that an end is or is on, as far as that is known; `host` is on the node of the other end. */
export function nodeOf(end: End, other?: End): string | undefined {
  if (end.type === 'pod') return end.pod.node;
  if (end.type !== 'node') return undefined;
  return end.node ?? (end.local && other ? nodeOf(other) : undefined);
}

/**
 * The identity that a peer has in the eyes of a subject on a node (or of nobody in particular). At egress, where it is the
 * destination, policies may know a pod by its address too.
 */
export function identityOf(world: World, end: End, direction: Direction, seenFrom?: string): number {
  switch (end.type) {
    case 'pod': return world.memberOf(end.pod)![direction === 'egress' ? 'destination' : 'identity'];
    case 'node': return nodeIdentity(world, end, seenFrom);
    // Policies decide which prefixes have identities of their own: another world may give it another one.
    case 'identity': return end.prefix === undefined ? end.identity : world.identityOfPrefix(end.prefix);
  }
}

function nodeIdentity(world: World, end: Extract<End, { type: 'node' }>, seenFrom: string | undefined): number {
  if (end.local) return (seenFrom !== undefined && world.nodeMember(seenFrom)?.identity) || reserved.host;
  if (end.node === undefined) return reserved.remoteNode;
  const member = world.nodeMember(end.node);
  return seenFrom === end.node ? member?.identity ?? reserved.host : member?.remote ?? reserved.remoteNode;
}

/** `ns/name` of a pod, else of a workload; without a namespace, of the one given. */
export function podsNamed(world: World, text: string, namespace: string): readonly ScenarioPod[] {
  const { ns, name } = splitName(text, namespace);
  const own = world.scenario.pods.filter(pod => pod.namespace === ns);
  const exact = own.filter(pod => pod.name === name);
  return exact.length > 0 ? exact : own.filter(pod => pod.workload.name === name || `${pod.workload.kind}/${pod.workload.name}`.toLowerCase() === name.toLowerCase());
}

export function backendsOf(world: World, service: ScenarioService): readonly ScenarioPod[] {
  const selector = Object.entries(service.selector ?? {});
  if (selector.length === 0) return [];
  const wanted = EndpointSelector.ofMatchLabels(Object.fromEntries(selector), 'k8s');
  return world.scenario.pods.filter(pod => pod.namespace === service.namespace && wanted.matches(kubernetesLabels(pod.ownLabels)));
}

/** The pod's port behind a service's port; undefined for a pod that does not have it. */
export function targetPort(service: ScenarioService, protocol: number, port: number, pod: ScenarioPod | undefined): number | undefined {
  const entry = service.ports.find(p => p.port === port && protocolNumber(p.protocol) === protocol);
  if (!entry) return undefined;
  if (typeof entry.targetPort === 'number') return entry.targetPort;
  return pod?.ports.find(p => p.name === entry.targetPort && p.protocol === entry.protocol)?.port;
}

// ---- kinds of names ----

/** Where there is one node, that is it. */
function hostEnd({ scenario: { nodes } }: World): End {
  return { type: 'node', text: 'host', node: nodes.length === 1 ? nodes[0]!.name : undefined, local: true };
}

/** A node that was not read may still be one that pods are on. */
function nodeTarget(world: World, text: string, node: string): Target {
  const known = new Set([...world.scenario.nodes.map(n => n.name), ...world.scenario.pods.flatMap(p => p.node ?? [])]);
  if (known.size > 0 && !known.has(node)) throw new CirriError('ERR_END', `there is no node ${node}`, { mend: `nodes: ${[...known].sort().slice(0, 8).join(', ')}` });
  const read = world.nodeMember(node) !== undefined;
  return { text, ends: [{ type: 'node', text, node }], notes: read || !world.tellsNodesApart ? [] : [`the labels of node ${node} were not read: policies that select nodes were not asked about it`] };
}

function serviceTarget(world: World, text: string, namespace: string): Target {
  const { ns, name } = splitName(text, namespace);
  const service = world.scenario.services.find(s => s.namespace === ns && s.name === name);
  if (!service) {
    const near = world.scenario.services.filter(s => s.namespace === ns).map(s => s.name);
    throw new CirriError('ERR_END', `there is no service ${ns}/${name}`, { mend: near.length > 0 ? `services of ${ns}: ${near.slice(0, 8).join(', ')}` : `namespace ${ns} has no services in what was read` });
  }
  const outside = (service.selector ? [] : service.addresses ?? []).map(a => identityEnd(a, world.identityOfPrefix(a), a));
  const ends = [...distinct(world, backendsOf(world, service)), ...outside];
  if (ends.length === 0) {
    throw new CirriError('ERR_END', `service ${ns}/${name} has no pods: connections are refused whatever the policies say`, { mend: `compare its selector with the labels of the pods in ${ns}` });
  }
  return { text: `service ${ns}/${name}`, ends, service, notes: [] };
}

function addressTarget(world: World, text: string): Target {
  const pod = world.scenario.pods.find(p => !p.hostNetwork && p.addresses.includes(text));
  if (pod) return { text, ends: [podEnd(pod)], notes: [`${text} is pod ${pod.namespace}/${pod.name}`] };
  const node = world.scenario.nodes.find(n => n.addresses.includes(text));
  if (node) return { text, ends: [{ type: 'node', text, node: node.name }], notes: [`${text} is node ${node.name}`] };
  const service = world.scenario.services.find(s => s.clusterIps.includes(text));
  if (service) return serviceTarget(world, `${service.namespace}/${service.name}`, service.namespace);
  return { text, ends: [identityEnd(text, world.identityOfPrefix(text), text)], notes: [] };
}

/** A prefix, and those within it that policies tell apart. */
function prefixTarget(world: World, prefix: Prefix): Target {
  const text = formatPrefix(prefix);
  const inner = world.prefixes.filter(p => p.prefix.bits > prefix.bits && cidrContains(prefix, p.prefix));
  return { text, ends: [identityEnd(text, world.identityOfPrefix(text), text), ...inner.map(p => identityEnd(p.text, p.id, p.text))], notes: [] };
}

/** Pods that no policy can tell apart are one. */
function distinct(world: World, pods: readonly ScenarioPod[]): readonly End[] {
  const seen = new Set<unknown>();
  return pods.filter(pod => {
    const key = world.memberOf(pod) ?? `node ${pod.node}`;
    return !seen.has(key) && seen.add(key);
  }).map(podEnd);
}

function prefixOf(text: string): Prefix | undefined {
  const [addr, bits, more] = text.split('/');
  if (bits === undefined || more !== undefined || !isAddr(addr!) || !/^\d+$/.test(bits)) return undefined;
  return parsePrefix(text);
}

function splitName(text: string, namespace: string): { ns: string; name: string } {
  const slash = text.indexOf('/');
  return slash < 0 ? { ns: namespace, name: text } : { ns: text.slice(0, slash), name: text.slice(slash + 1) };
}

function unknownEnd(world: World, text: string, namespace: string): CirriError {
  const { ns, name } = splitName(text, namespace);
  const own = [...new Set(world.scenario.pods.filter(pod => pod.namespace === ns).map(pod => pod.workload.name))];
  const elsewhere = world.scenario.pods.find(pod => pod.name === name || pod.workload.name === name);
  const mend = elsewhere ? `did you mean ${elsewhere.namespace}/${name}?`
    : own.length > 0 ? `workloads of ${ns}: ${own.slice(0, 8).join(', ')}${own.length > 8 ? ', …' : ''}`
    : `give NS/POD, NS/WORKLOAD, "service NS/NAME", an address, a prefix or one of ${Object.keys(entityIdentities).join(', ')}`;
  return new CirriError('ERR_END', `there is no pod or workload ${ns}/${name}`, { mend });
}

/** `192.0.2.7` as `192.0.2.7/32`. */
export function hostPrefix(text: string): string {
  return text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`;
}

// ---- ports ----

export interface PortOfConnection { readonly protocol: number; readonly port: number }

/** `80`, `80/TCP`, `dns/UDP`, `http`: names are looked up at the target. `protocol` is the default, else TCP. */
export function resolvePort(target: Target, text: string | undefined, protocol?: string): PortOfConnection {
  const [portText, suffix] = (text ?? '').split('/') as [string, string?];
  const protocolText = (suffix ?? protocol ?? (portText === '' ? '' : 'TCP')).toUpperCase();
  if (protocolText === '') throw new CirriError('ERR_FLAG', 'which port?', { mend: '--port 80, --port 53/UDP, --port http, or --protocol ICMP' });
  if (protocolText === 'ICMP' || protocolText === 'ICMPV6') {
    const v6 = protocolText === 'ICMPV6' || target.ends.some(e => e.type === 'identity' && (e.prefix ?? '').includes(':'));
    return v6 ? { protocol: 58, port: portText === '' ? 128 : Number(portText) } : { protocol: 1, port: portText === '' ? 8 : Number(portText) };
  }
  const number = protocolNumber(protocolText);
  if (number < 0) throw new CirriError('ERR_FLAG', `"${protocolText}" is no protocol`, { mend: 'TCP, UDP, SCTP, ICMP or ICMPv6' });
  if (/^\d{1,5}$/.test(portText) && Number(portText) <= 65535) return { protocol: number, port: Number(portText) };
  const named = namedPort(target, portText, number);
  if (named === undefined) throw new CirriError('ERR_FLAG', `"${portText}" is neither a port nor a port's name at ${target.text}`, { mend: '--port 80' });
  return { protocol: number, port: named };
}

function namedPort(target: Target, name: string, protocol: number): number | undefined {
  const ports = target.service ? target.service.ports.map(p => ({ name: p.name, port: p.port, protocol: p.protocol })) : target.ends.flatMap(e => (e.type === 'pod' ? e.pod.ports : []));
  return ports.find(p => p.name === name && protocolNumber(p.protocol) === protocol)?.port;
}

/** `80/TCP`, `ICMP echo`. */
export function portText({ protocol, port }: PortOfConnection): string {
  if (protocol === 1 || protocol === 58) return `${protocolName(protocol)} ${port === 8 || port === 128 ? 'echo' : `type ${port}`}`;
  return `${port}/${protocolName(protocol)}`;
}
