import { isDeepStrictEqual } from 'node:util';
import { referenceTo } from '../kube/events.ts';
import type { Endpoint, EndpointPort, EndpointSlice, Endpoints, Node, Pod, Service, ServicePort } from '../kube/types.ts';
import { isIPv6 } from 'node:net';
import type { NewObject } from './collection.ts';
import { hintsFor, preferenceOf, zoneLabel, type ZoneShares } from './topology-hints.ts';
import { canonicalJson, isFinished, isReady, isTerminating, ownedBy } from './pods.ts';

export const serviceNameLabel = 'kubernetes.io/service-name';
export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const managedBy = 'endpointslice-controller.k8s.io';
const headlessLabel = 'service.kubernetes.io/headless';
/** Of a pod: its share of a service's new connections beside the other pods', a whole number; 1 without, 0 is none. */
export const weightAnnotation = 'service.cirri.io/weight';
/** Of a slice: the weights of its endpoints that are not 1, a JSON object by address. */
export const weightsAnnotation = 'service.cirri.io/weights';

/** As upstream's default. */
const endpointsPerSlice = 100;
/** An Endpoints object is cut here, and says so. */
const addressesPerEndpoints = 1_000;

export interface SlicePlan {
  readonly create: readonly NewObject[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

/**
 * The slices of a service, changed as little as can be: an endpoint stays in the slice where it is; new ones fill slices that
 * change anyway, then the fullest that has room; a slice without endpoints goes, but each family keeps one.
 * `pods` are those that the selector selects, `existing` the slices that this controller made, `shares` the zones' sizes.
 */
export function planSlices(service: Service, pods: readonly Pod[], existing: readonly EndpointSlice[], nodeOf: (name: string) => Node | undefined, shares: ZoneShares = undefined): SlicePlan {
  const create: NewObject[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const families = familiesOf(service);
  for (const family of families) {
    const groups = groupByPorts(service, pods, family, nodeOf, shares);
    const present = Map.groupBy(existing.filter(s => s.addressType === family), s => canonicalJson(s.ports ?? []));
    if (groups.size === 0) {
      // Slices with other ports must not stand for this service any more; an empty one is kept whatever its ports.
      const key = [...present.keys()][0] ?? canonicalJson([]);
      groups.set(key, { ports: present.get(key)?.[0]?.ports ?? [], endpoints: new Map(), weights: new Map() });
    }
    for (const [key, slices] of present) if (!groups.has(key)) remove.push(...slices);
    for (const [key, group] of groups) {
      const plan = planGroup(service, family, group, present.get(key) ?? []);
      create.push(...plan.create);
      update.push(...plan.update);
      remove.push(...plan.remove);
    }
  }
  remove.push(...existing.filter(s => !families.includes(s.addressType as 'IPv4')));
  return { create, update, remove };
}

/** Endpoints with the same ports: named target ports may differ from pod to pod. */
interface Group {
  readonly ports: readonly EndpointPort[];
  /** By pod uid (or name). */
  readonly endpoints: Map<string, Endpoint>;
  /** Those that are not 1, by address. */
  readonly weights: Map<string, number>;
}

function planGroup(service: Service, addressType: string, group: Group, slices: readonly EndpointSlice[]): SlicePlan {
  const missing = new Map(group.endpoints);
  const drafts = slices.map(slice => {
    const kept: Endpoint[] = [];
    for (const old of slice.endpoints ?? []) {
      const id = idOf(old);
      const now = missing.get(id);
      if (now === undefined) continue;
      missing.delete(id);
      kept.push(isDeepStrictEqual(old, now) ? old : now);
    }
    const changed = kept.length !== (slice.endpoints ?? []).length || kept.some((e, i) => e !== slice.endpoints![i]);
    return { slice, endpoints: kept, changed: changed || !hasMetadata(slice, service, weightsText(kept, group.weights)) };
  });
  const rest = [...missing.values()];
  const byRoom = drafts.toSorted((a, b) => Number(b.changed) - Number(a.changed) || b.endpoints.length - a.endpoints.length);
  for (const draft of byRoom) {
    const added = rest.splice(0, endpointsPerSlice - draft.endpoints.length);
    draft.endpoints.push(...added);
    draft.changed ||= added.length > 0;
  }
  const create: NewObject[] = [];
  while (rest.length > 0) create.push(newSlice(service, addressType, group, rest.splice(0, endpointsPerSlice)));
  const filled = drafts.filter(d => d.endpoints.length > 0);
  const kept = filled.length > 0 || create.length > 0 ? filled : drafts.slice(0, 1);
  if (kept.length === 0 && create.length === 0) create.push(newSlice(service, addressType, group, []));
  return {
    create,
    update: kept.filter(d => d.changed).map(d => ({ ...d.slice, ...metadataFor(d.slice, service, weightsText(d.endpoints, group.weights)), endpoints: d.endpoints })),
    remove: drafts.filter(d => !kept.includes(d)).map(d => d.slice),
  };
}

function familiesOf(service: Service): ('IPv4' | 'IPv6')[] {
  const { ipFamilies, clusterIPs, clusterIP } = service.spec;
  if (ipFamilies && ipFamilies.length > 0) return [...ipFamilies] as ('IPv4' | 'IPv6')[];
  const addresses = (clusterIPs ?? [clusterIP ?? '']).filter(a => a !== '' && a !== 'None');
  return addresses.length === 0 ? ['IPv4'] : addresses.map(a => (isIPv6(a) ? 'IPv6' : 'IPv4'));
}

function groupByPorts(service: Service, pods: readonly Pod[], family: 'IPv4' | 'IPv6', nodeOf: (name: string) => Node | undefined, shares: ZoneShares): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const pod of pods) {
    const address = addressOf(pod, family);
    if (address === undefined || isFinished(pod)) continue;
    const ports = portsFor(service, pod);
    const key = canonicalJson(ports);
    let group = groups.get(key);
    if (!group) groups.set(key, group = { ports, endpoints: new Map(), weights: new Map() });
    const endpoint = endpointOf(service, pod, address, nodeOf);
    group.endpoints.set(idOf(endpoint), endpoint);
    const weight = weightOf(pod);
    if (weight !== 1) group.weights.set(address, weight);
  }
  for (const { endpoints } of groups.values()) giveHints(endpoints, service, shares);
  return groups;
}

function giveHints(endpoints: Map<string, Endpoint>, service: Service, shares: ZoneShares): void {
  const preference = preferenceOf(service);
  if (preference === undefined) return;
  const entries = [...endpoints];
  const hints = hintsFor(entries.map(([, endpoint]) => endpoint), preference, shares);
  entries.forEach(([id, endpoint], i) => {
    const hint = hints[i];
    if (hint) endpoints.set(id, { ...endpoint, hints: hint });
  });
}

/** What cannot be read counts as 1; the API warns whoever writes it. */
function weightOf(pod: Pod): number {
  const text = pod.metadata.annotations?.[weightAnnotation];
  return text !== undefined && /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? Number(text) : 1;
}

function weightsText(endpoints: readonly Endpoint[], weights: ReadonlyMap<string, number>): string | undefined {
  if (weights.size === 0) return undefined;
  const own = endpoints.flatMap(({ addresses: [address = ''] }) => (weights.has(address) ? [[address, weights.get(address)!] as const] : []));
  return own.length === 0 ? undefined : JSON.stringify(Object.fromEntries(own.sort(([a], [b]) => (a < b ? -1 : 1))));
}

function addressOf(pod: Pod, family: 'IPv4' | 'IPv6'): string | undefined {
  const all = pod.status?.podIPs?.map(p => p.ip) ?? (pod.status?.podIP ? [pod.status.podIP] : []);
  return all.find(ip => isIPv6(ip) === (family === 'IPv6'));
}

function endpointOf(service: Service, pod: Pod, address: string, nodeOf: (name: string) => Node | undefined): Endpoint {
  const terminating = isTerminating(pod);
  const serving = isReady(pod);
  const zone = nodeOf(pod.spec.nodeName ?? '')?.metadata.labels?.[zoneLabel];
  const { resourceVersion: _, apiVersion: __, ...targetRef } = referenceTo(pod);
  return {
    addresses: [address],
    conditions: { ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating), serving, terminating },
    ...(hasHostname(service, pod) ? { hostname: pod.spec.hostname! } : {}),
    ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}),
    ...(zone === undefined ? {} : { zone }),
    targetRef,
  };
}

function hasHostname(service: Service, pod: Pod): boolean {
  return Boolean(pod.spec.hostname) && pod.spec.subdomain === service.metadata.name;
}

/** The service's ports as this pod serves them; a name that the pod does not know leaves its port out. */
export function portsFor(service: Service, pod: Pod): EndpointPort[] {
  return (service.spec.ports ?? []).flatMap(port => {
    const number = targetPort(port, pod);
    if (number === undefined) return [];
    return [{
      name: port.name ?? '',
      port: number,
      protocol: port.protocol ?? 'TCP',
      ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
    }];
  });
}

function targetPort(port: ServicePort, pod: Pod): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === 'number') return target === 0 ? port.port : target;
  if (/^\d+$/.test(target)) return Number(target);
  // Init containers that stay (restartPolicy Always) serve too.
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(c => c.restartPolicy === 'Always')];
  return containers.flatMap(c => c.ports ?? []).find(p => p.name === target && (p.protocol ?? 'TCP') === (port.protocol ?? 'TCP'))?.containerPort;
}

function idOf(endpoint: Endpoint): string {
  return endpoint.targetRef?.uid ?? endpoint.targetRef?.name ?? endpoint.addresses[0] ?? '';
}

function newSlice(service: Service, addressType: string, group: Group, endpoints: readonly Endpoint[]): NewObject {
  const weights = weightsText(endpoints, group.weights);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      generateName: `${service.metadata.name}-`,
      namespace: service.metadata.namespace,
      labels: labelsFor(service),
      ...(weights === undefined ? {} : { annotations: { [weightsAnnotation]: weights } }),
      ownerReferences: [ownedBy(service)],
    },
    addressType,
    endpoints,
    ports: group.ports,
  };
}

function labelsFor(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    [serviceNameLabel]: service.metadata.name,
    [managedByLabel]: managedBy,
    ...(service.spec.clusterIP === 'None' ? { [headlessLabel]: '' } : {}),
  };
}

function hasMetadata(slice: EndpointSlice, service: Service, weights: string | undefined): boolean {
  return isDeepStrictEqual({ ...slice.metadata.labels }, labelsFor(service)) && slice.metadata.annotations?.[weightsAnnotation] === weights;
}

function metadataFor(slice: EndpointSlice, service: Service, weights: string | undefined): Pick<EndpointSlice, 'metadata'> {
  const { [weightsAnnotation]: _, ...annotations } = slice.metadata.annotations ?? {};
  return { metadata: { ...slice.metadata, labels: labelsFor(service), annotations: { ...annotations, ...(weights === undefined ? {} : { [weightsAnnotation]: weights }) } } };
}

// The older form

/** The Endpoints object that says the same in the older form: the first family, ready and not ready, without the terminating. */
export function desiredEndpoints(service: Service, pods: readonly Pod[]): NewObject {
  const family = familiesOf(service)[0] ?? 'IPv4';
  const subsets = new Map<string, { ports: EndpointPort[]; addresses: object[]; notReadyAddresses: object[] }>();
  let count = 0;
  for (const pod of pods.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const ip = addressOf(pod, family);
    if (ip === undefined || isFinished(pod) || isTerminating(pod) || count >= addressesPerEndpoints) continue;
    count++;
    const ports = portsFor(service, pod).map(({ name, ...port }) => (name ? { name, ...port } : port));
    const key = canonicalJson(ports);
    const subset = subsets.get(key) ?? { ports, addresses: [], notReadyAddresses: [] };
    subsets.set(key, subset);
    const { resourceVersion: _, apiVersion: __, ...targetRef } = referenceTo(pod);
    const address = { ip, ...(hasHostname(service, pod) ? { hostname: pod.spec.hostname } : {}), ...(pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {}), targetRef };
    (isReady(pod) || service.spec.publishNotReadyAddresses ? subset.addresses : subset.notReadyAddresses).push(address);
  }
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name: service.metadata.name,
      namespace: service.metadata.namespace,
      labels: { ...service.metadata.labels, 'endpoints.kubernetes.io/managed-by': 'endpoint-controller', ...(service.spec.clusterIP === 'None' ? { [headlessLabel]: '' } : {}) },
      ownerReferences: [ownedBy(service)],
      ...(count >= addressesPerEndpoints ? { annotations: { 'endpoints.kubernetes.io/over-capacity': 'truncated' } } : {}),
    },
    subsets: [...subsets.values()].map(s => ({
      ...(s.addresses.length > 0 ? { addresses: s.addresses } : {}),
      ...(s.notReadyAddresses.length > 0 ? { notReadyAddresses: s.notReadyAddresses } : {}),
      ports: s.ports,
    })),
  };
}

/** Whether an Endpoints object already says what is wanted. */
export function sameEndpoints(existing: Endpoints, wanted: NewObject): boolean {
  const meta = wanted.metadata as { labels: object };
  return isDeepStrictEqual(existing.subsets ?? [], wanted['subsets']) && isDeepStrictEqual({ ...existing.metadata.labels }, meta.labels);
}
