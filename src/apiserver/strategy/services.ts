import { formatAddr, isAddr, parseAddr } from '../../std/ip.ts';
import { asArray, asNumber, asObjects, asObject, asString, at, ensureObject, equalJson } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import type { Hooks } from '../registry/resource.ts';
import { invalid, invalidObject } from '../status.ts';
import type { NumberPool } from './pool.ts';
import { isExternallyAccessible, serviceErrors } from './service-errors.ts';

/** The numbers that services draw from: addresses of both families are drawn as offsets into their range. */
export interface ServicePools { readonly addresses: Readonly<Record<'IPv4' | 'IPv6', AddressPool>>; readonly nodePorts: NumberPool }
export interface AddressPool { readonly prefix: Uint8Array; readonly pool: NumberPool }

type Family = 'IPv4' | 'IPv6';
const serviceKind = { group: '', kind: 'Service' };

/** `stored`: all services there are; what they hold is taken when the first allocation asks, so that a start need not read them. */
export function serviceHooks(pools: ServicePools, stored: () => Iterable<KubeObject>): Hooks {
  let claimed = false;
  const claim = () => {
    if (claimed) return;
    claimed = true;
    for (const service of stored()) for (const { pool, value } of resolve(numbersOf(service), pools)) pool.take(value);
  };
  return {
    setDefaults: setServiceDefaults,
    prepare: (object, old) => {
      claim();
      return allocate(object, old, pools);
    },
    validate: serviceErrors,
    removed: object => release(numbersOf(object), pools),
  };
}

function setServiceDefaults(object: KubeObject, old: KubeObject | undefined): void {
  const spec = ensureObject(object, 'spec');
  if (old) dropFieldsOfOtherType(spec, asObject(old['spec']) ?? {});
  const type = asString(spec['type']);
  if (spec['sessionAffinity'] === 'ClientIP') ensureObject(ensureObject(spec, 'sessionAffinityConfig'), 'clientIP')['timeoutSeconds'] ??= 10800;
  for (const port of asObjects(spec['ports'])) port['targetPort'] ??= port['port'];
  if (type !== 'ExternalName') spec['internalTrafficPolicy'] ??= 'Cluster';
  if (isExternallyAccessible(spec)) spec['externalTrafficPolicy'] ??= 'Cluster';
  if (type === 'LoadBalancer') spec['allocateLoadBalancerNodePorts'] ??= true;
  if (old) keepAllocated(spec, asObject(old['spec']) ?? {});
  if (type !== 'ExternalName') setFamilies(spec);
}

/**
 * A client that changes the type takes along what the old type had; what it did not write itself goes, so that a service need
 * not be cleaned up by hand (upstream's dropTypeDependentFields).
 */
function dropFieldsOfOtherType(spec: JsonObject, old: JsonObject): void {
  const drop = (field: string) => {
    if (equalJson(spec[field] ?? null, old[field] ?? null)) delete spec[field];
  };
  if (!isExternallyAccessible(spec)) drop('externalTrafficPolicy');
  if (spec['type'] !== 'LoadBalancer') for (const field of ['allocateLoadBalancerNodePorts', 'loadBalancerClass']) drop(field);
  if (spec['type'] !== 'LoadBalancer' || spec['externalTrafficPolicy'] !== 'Local') drop('healthCheckNodePort');
  if (spec['sessionAffinity'] !== 'ClientIP') drop('sessionAffinityConfig');
  if (spec['type'] === 'NodePort' || spec['type'] === 'LoadBalancer') return;
  for (const port of asObjects(spec['ports'])) {
    if (asArray(old['ports']).some(other => at(other, 'nodePort') === at(port, 'nodePort'))) delete port['nodePort'];
  }
}

/** A client that replaces a service without naming what was allocated means to keep it. */
function keepAllocated(spec: JsonObject, old: JsonObject): void {
  if (spec['type'] === 'ExternalName' || old['type'] === 'ExternalName') return;
  if (!spec['clusterIP']) spec['clusterIP'] = old['clusterIP'] ?? '';
  // A patch of clusterIP alone means the first of clusterIPs too.
  else if (spec['clusterIP'] !== old['clusterIP'] && equalJson(spec['clusterIPs'], old['clusterIPs'])) {
    spec['clusterIPs'] = [spec['clusterIP'], ...asArray(spec['clusterIPs']).slice(1)];
  }
  if (asArray(spec['clusterIPs']).length === 0 && spec['clusterIP'] === old['clusterIP'] && old['clusterIPs'] !== undefined) {
    spec['clusterIPs'] = old['clusterIPs'];
    spec['ipFamilies'] ??= old['ipFamilies']!;
    spec['ipFamilyPolicy'] ??= old['ipFamilyPolicy']!;
  }
  if (spec['type'] === 'ClusterIP') return;
  for (const port of asObjects(spec['ports'])) {
    const same = asArray(old['ports']).find(o => at(o, 'port') === at(port, 'port') && at(o, 'protocol') === at(port, 'protocol'));
    if (!at(port, 'nodePort') && at(same, 'nodePort')) port['nodePort'] = at(same, 'nodePort')!;
  }
  if (spec['externalTrafficPolicy'] === 'Local' && spec['type'] === 'LoadBalancer') spec['healthCheckNodePort'] ??= old['healthCheckNodePort'] ?? 0;
}

function setFamilies(spec: JsonObject): void {
  const given = asArray(spec['clusterIPs']).map(String);
  if (!spec['clusterIP'] && given[0]) spec['clusterIP'] = given[0];
  const addresses = given.length > 0 ? given : spec['clusterIP'] && spec['clusterIP'] !== 'None' ? [String(spec['clusterIP'])] : [];
  const families = asArray(spec['ipFamilies']).map(String);
  addresses.forEach((address, i) => (families[i] ??= address === 'None' ? (families[i] ?? 'IPv4') : address.includes(':') ? 'IPv6' : 'IPv4'));
  const selectorless = spec['clusterIP'] === 'None' && !spec['selector'];
  const policy = asString(spec['ipFamilyPolicy']) ?? (families.length > 1 ? 'RequireDualStack' : selectorless ? 'RequireDualStack' : 'SingleStack');
  if (families.length === 0) families.push('IPv4');
  if (policy !== 'SingleStack' && families.length === 1) families.push(families[0] === 'IPv4' ? 'IPv6' : 'IPv4');
  spec['ipFamilies'] = policy === 'SingleStack' ? families.slice(0, 1) : families;
  spec['ipFamilyPolicy'] = policy;
}

interface Held { readonly pool: 'IPv4' | 'IPv6' | 'nodePorts'; readonly text: string | number; readonly field: string }

/** Everything that a service holds of the pools. */
function numbersOf(object: KubeObject): Held[] {
  const spec = asObject(object['spec']) ?? {};
  const addresses = asArray(spec['clusterIPs']).map(String).filter(isAddr);
  const ports = asArray(spec['ports']);
  return [
    ...addresses.map((text, i): Held => ({ pool: text.includes(':') ? 'IPv6' : 'IPv4', text, field: i === 0 ? 'spec.clusterIP' : `spec.clusterIPs[${i}]` })),
    // The same node port may serve TCP and UDP of one service: it is held once.
    ...[...new Set(ports.map(p => asNumber(at(p, 'nodePort')) ?? 0).filter(n => n > 0))].map((text): Held => ({ pool: 'nodePorts', text, field: `spec.ports[${ports.findIndex(p => at(p, 'nodePort') === text)}].nodePort` })),
    ...(asNumber(spec['healthCheckNodePort']) ? [{ pool: 'nodePorts' as const, text: Number(spec['healthCheckNodePort']), field: 'spec.healthCheckNodePort' }] : []),
  ];
}

function resolve(held: readonly Held[], pools: ServicePools): { pool: NumberPool; value: number }[] {
  return held.flatMap(({ pool, text }) => {
    if (pool === 'nodePorts') return [{ pool: pools.nodePorts, value: Number(text) }];
    const offset = offsetIn(pools.addresses[pool], String(text));
    return offset === undefined ? [] : [{ pool: pools.addresses[pool].pool, value: offset }];
  });
}

function release(held: readonly Held[], pools: ServicePools): void {
  for (const { pool, value } of resolve(held, pools)) pool.give(value);
}

/** The place of an address in its range: the last two bytes, since ranges have 16 bits of hosts. */
function offsetIn({ prefix, pool }: AddressPool, text: string): number | undefined {
  const addr = parseAddr(text);
  for (let i = 0; i < 14; i++) if (addr[i] !== prefix[i]) return undefined;
  const offset = ((addr[14]! << 8) | addr[15]!) - ((prefix[14]! << 8) | prefix[15]!);
  return pool.includes(offset) ? offset : undefined;
}

function addressAt({ prefix }: AddressPool, offset: number): string {
  const addr = Uint8Array.from(prefix);
  const low = ((prefix[14]! << 8) | prefix[15]!) + offset;
  addr[14] = low >> 8;
  addr[15] = low & 0xff;
  return formatAddr(addr);
}

/** Takes what the service asks for and what it needs, gives back what an update no longer holds. */
function allocate(object: KubeObject, old: KubeObject | undefined, pools: ServicePools): { undo(): void } {
  const spec = asObject(object['spec']) ?? {};
  const taken: { pool: NumberPool; value: number }[] = [];
  const undo = () => {
    for (const { pool, value } of taken) pool.give(value);
  };
  const before = old ? numbersOf(old) : [];
  const heldBefore = new Set(before.map(h => `${h.pool} ${h.text}`));
  const take = (pool: NumberPool, value: number) => {
    pool.take(value);
    taken.push({ pool, value });
  };
  try {
    for (const held of numbersOf({ ...object, spec: { ...spec, clusterIPs: wantedAddresses(spec) } })) {
      if (heldBefore.has(`${held.pool} ${held.text}`)) continue;
      const [place] = resolve([held], pools);
      if (!place) throw refuse(object, held, held.pool === 'nodePorts' ? 'it is not in the range' : `the provided IP is not in the valid range; leave the field out to have one assigned`);
      if (!place.pool.includes(place.value)) throw refuse(object, held, `provided port is not in the valid range. The range of valid ports is ${pools.nodePorts.range}`);
      if (place.pool.has(place.value)) throw refuse(object, held, held.pool === 'nodePorts' ? 'provided port is already allocated' : 'failed to allocate IP: provided IP is already allocated');
      take(place.pool, place.value);
    }
    assignAddresses(spec, pools, take);
    assignNodePorts(spec, pools, take);
  } catch (error) {
    undo();
    throw error;
  }
  const after = new Set(numbersOf(object).map(h => `${h.pool} ${h.text}`));
  const dropped = before.filter(h => !after.has(`${h.pool} ${h.text}`));
  // Given back at once and taken again on undo: everything happens in one turn, nobody can come between.
  release(dropped, pools);
  return {
    undo: () => {
      undo();
      for (const { pool, value } of resolve(dropped, pools)) pool.take(value);
    },
  };
}

function refuse(object: KubeObject, held: Held, why: string): Error {
  return invalidObject(serviceKind, object.metadata.name, [invalid(held.field, held.text, why)]);
}

function wantedAddresses(spec: JsonObject): Json[] {
  const list = asArray(spec['clusterIPs']);
  return list.length > 0 ? list : spec['clusterIP'] ? [spec['clusterIP']] : [];
}

function assignAddresses(spec: JsonObject, pools: ServicePools, take: (pool: NumberPool, value: number) => void): void {
  if (spec['type'] === 'ExternalName') {
    for (const key of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) delete spec[key];
    return;
  }
  if (spec['clusterIP'] === 'None') {
    spec['clusterIPs'] = ['None'];
    return;
  }
  const families = asArray(spec['ipFamilies']).map(String) as Family[];
  const addresses = wantedAddresses(spec).map(String).slice(0, families.length);
  for (const family of families.slice(addresses.length)) {
    const range = pools.addresses[family];
    // Both families get the same offset where they can: 10.96.1.5 and fd00:10:96::105.
    const offset = range.pool.choose(addresses[0] && isAddr(addresses[0]) ? offsetIn(pools.addresses[addresses[0].includes(':') ? 'IPv6' : 'IPv4'], addresses[0]) : undefined);
    take(range.pool, offset);
    addresses.push(addressAt(range, offset));
  }
  spec['clusterIP'] = addresses[0]!;
  spec['clusterIPs'] = addresses;
}

function assignNodePorts(spec: JsonObject, pools: ServicePools, take: (pool: NumberPool, value: number) => void): void {
  const ports = asObjects(spec['ports']);
  const wants = spec['type'] === 'NodePort' || (spec['type'] === 'LoadBalancer' && spec['allocateLoadBalancerNodePorts'] !== false);
  for (const port of ports) {
    if (!wants || port['nodePort']) continue;
    const twin = ports.find(p => p !== port && p['port'] === port['port'] && p['nodePort'] && p['protocol'] !== port['protocol']);
    const number = twin ? Number(twin['nodePort']) : pools.nodePorts.choose();
    if (!twin) take(pools.nodePorts, number);
    port['nodePort'] = number;
  }
  if (spec['type'] === 'LoadBalancer' && spec['externalTrafficPolicy'] === 'Local') {
    if (!spec['healthCheckNodePort']) {
      const number = pools.nodePorts.choose();
      take(pools.nodePorts, number);
      spec['healthCheckNodePort'] = number;
    }
  } else if (spec['healthCheckNodePort'] === 0) delete spec['healthCheckNodePort'];
}
