/**
 * The programs with maps of their own, run without devices. One world for all tests, in both families:
 *
 *      a ─┐                           ┌─ remote (a pod on another node)
 *      b ─┴─ node ── uplink/overlay ──┴─ world
 *
 * BPF_PROG_TEST_RUN runs on the loopback device: the pods' interface index is 1.
 */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { connectionEventCodec, flowEventCodec, nameEventCodec, type ConnectionEvent, type FlowEvent, type NameEvent, type RuleStat, type ShadowKey } from '../../src/datapath/generated/structs.ts';
import { EndpointFlag, EventFlag, EventType, IpcacheFlag, PolicyVerdictFlag, RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import type { MapSizes } from '../../src/datapath/sizes.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject, type BpfProgram } from '../../src/ebpf/object.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { formatAddr, parseAddr, parsePrefix } from '../../src/std/ip.ts';
import { buildFrame, type Decoded, decodeFrame, type FrameSpec, macBytes } from './packet.ts';

export const objectPath = fileURLToPath(new URL('../../build/cirri.bpf.o', import.meta.url));

type MapOf<S> = S extends MapSpec<infer K, infer V> ? BpfMap<K, V> : never;
/** Reasons by number, from the source: the generated names belong to another object while the programs are being changed. */
const reasonNames: ReadonlyMap<number, string> = new Map(
  [...readFileSync(fileURLToPath(new URL('../../bpf/lib/drop.h', import.meta.url)), 'utf8').matchAll(/^\tDROP_(\w+) = (\d+),/gm)].map(([, name, number]) => [Number(number), name!]));

export type Maps = { readonly [Name in keyof typeof specs]: MapOf<(typeof specs)[Name]> };

export interface Family {
  readonly name: string;
  readonly a: string;
  readonly b: string;
  readonly stranger: string;
  readonly remote: string;
  readonly nobody: string;
  readonly node: string;
  readonly otherNode: string;
  readonly router: string;
  readonly world: string;
  readonly service: string;
  readonly lonely: string;
  readonly cluster: string;
  readonly everything: string;
  readonly echo: number;
  readonly echoReply: number;
  readonly unreachable: number;
  readonly multicast: string;
}

export const families: readonly Family[] = [
  {
    name: 'IPv4', a: '10.244.1.10', b: '10.244.1.11', stranger: '10.244.1.99', remote: '10.244.2.20', nobody: '10.244.7.7', node: '172.30.0.11',
    otherNode: '172.30.0.12', router: '10.244.1.1', world: '192.0.2.9', service: '10.96.0.5', lonely: '10.96.0.6', cluster: '10.244.0.0/16',
    everything: '0.0.0.0/0', echo: 8, echoReply: 0, unreachable: 3, multicast: '224.0.0.5',
  },
  {
    name: 'IPv6', a: 'fd00:10:244:1::a', b: 'fd00:10:244:1::b', stranger: 'fd00:10:244:1::99', remote: 'fd00:10:244:2::20', nobody: 'fd00:10:244:7::7',
    node: 'fdc1::11', otherNode: 'fdc1::12', router: 'fd00:10:244:1::1', world: '2001:db8::9', service: 'fd00:10:96::5', lonely: 'fd00:10:96::6',
    cluster: 'fd00:10:244::/48', everything: '::/0', echo: 128, echoReply: 129, unreachable: 1, multicast: 'ff02::5',
  },
];

export const mac = { a: '02:00:00:00:00:0a', b: '02:00:00:00:00:0b', host: '02:00:00:00:00:fe', hostB: '02:00:00:00:00:fe' } as const;
export const id = { a: 101, b: 102, host: 1 } as const;
export const identity = { host: 1, remoteNode: 6, worldV4: 9, a: 1001, b: 1002, remote: 1003 } as const;
/** Policy sets: what a may send, what b may receive, and so on. */
export const set = { aEgress: 11, aIngress: 12, bEgress: 13, bIngress: 14, hostEgress: 15, hostIngress: 16 } as const;
export const rule = { allow: 71, deny: 72 } as const;
export const servicePort = 80;
export const backendPort = 8080;

const INTERFACE = 1;

export interface Outcome {
  readonly action: 'pass' | 'drop' | 'redirect';
  /** The reason of the drop's metric. */
  readonly reason?: string;
  readonly frame: Uint8Array;
  /** skb->mark afterwards. */
  readonly mark: number;
  readonly packet: Decoded;
  /** Verdicts on new connections, and drops told. */
  readonly flows: readonly FlowEvent[];
  readonly drops: readonly FlowEvent[];
  readonly traces: readonly Trace[];
  readonly names: readonly Name[];
}

/** A packet that was handed on, or the end of a connection: then it has totals. */
export type Trace = FlowEvent & { readonly totals?: Omit<ConnectionEvent, 'event'> };
export type Name = NameEvent & { readonly payload: Uint8Array };

export interface Told {
  readonly flows: readonly FlowEvent[];
  readonly drops: readonly FlowEvent[];
  /** Requests that the kernel carries, and answers. */
  readonly requests: readonly FlowEvent[];
  readonly traces: readonly Trace[];
  readonly names: readonly Name[];
}

export type ProgramName = 'from_pod' | 'to_pod' | 'from_network' | 'to_network' | 'from_overlay' | 'to_overlay';

export class Datapath {
  readonly maps: Maps;
  readonly #object: BpfObject;
  readonly #flows: RingBuffer;
  readonly #drops: RingBuffer;
  readonly #names: RingBuffer;

  /** `only` these programs: the kernel takes seconds to look through all of them. By default all but those that read HTTP. */
  constructor(config: Record<string, unknown> = {}, sizes: MapSizes = {}, only?: readonly string[]) {
    this.maps = Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, BpfMap.create({ ...spec, maxEntries: sizes[spec.name] ?? spec.maxEntries } as MapSpec<unknown, unknown>)])) as unknown as Maps;
    const [v4, v6] = families as readonly [Family, Family];
    this.#object = BpfObject.load({
      path: objectPath,
      maps: this.maps as unknown as Record<string, BpfMap<never, never>>,
      config: {
        nodeIp4: parseAddr(v4.node), nodeIp6: parseAddr(v6.node), routerIp4: parseAddr(v4.router), routerIp6: parseAddr(v6.router),
        serviceNet4: parseAddr('10.96.0.0'), serviceMask4: parseAddr('255.240.0.0'), serviceNet6: parseAddr('fd00:10:96::'), serviceMask6: parseAddr('ffff:ffff:ffff:ffff:ffff:ffff:ffff:0'),
        uplinkIfindex: INTERFACE, overlayIfindex: 0, clusterId: 0, natPortMin: 40000, natPortMax: 40999, hostMac: macBytes(mac.host),
        masquerade: 1, policyMode: 0, audit: 0, orderedStores: process.arch === 'x64' ? 1 : 0, ...config,
      },
      skip: allBut(name => only?.includes(name) ?? !name.startsWith('http_')),
    });
    this.#flows = RingBuffer.open({ fd: this.maps.flowEvents.fd, maxEntries: specs.flowEvents.maxEntries });
    this.#drops = RingBuffer.open({ fd: this.maps.dropEvents.fd, maxEntries: specs.dropEvents.maxEntries });
    this.#names = RingBuffer.open({ fd: this.maps.nameEvents.fd, maxEntries: specs.nameEvents.maxEntries });
    this.reset();
  }

  /** Empties what packets write and fills in the world again. */
  reset(): void {
    const { nameAddresses, nameRings, nameHeads, namePending, nameRules } = this.maps;
    for (const map of [nameAddresses, nameRings, nameHeads, namePending, nameRules]) clear(map as BpfMap<unknown, unknown>);
    const { conntrack, nat, fragments, endpoints, ipcache, services, serviceSlots, backends, serviceAddresses, policyClasses, policyVerdicts, ruleStats, shadowStats, runtime } = this.maps;
    for (const map of [this.maps.affinities, this.maps.serviceMembers, this.maps.serviceSources, this.maps.redirectExempt] as unknown as BpfMap<unknown, unknown>[]) clear(map);
    for (const map of [conntrack, nat, fragments, endpoints, ipcache, services, serviceSlots, backends, serviceAddresses, policyClasses, policyVerdicts]) clear(map as BpfMap<unknown, unknown>);
    for (const map of [ruleStats, shadowStats]) clearPerCpu(map as BpfMap<unknown, unknown>);
    runtime.update(0, { policyGeneration: 1, flags: 0 });
    for (const family of families) this.#fillIn(family);
    for (const number of Object.values(set)) this.allowAll(number);
    this.told();
  }

  #fillIn(family: Family): void {
    const [other] = families.filter(one => one !== family) as [Family];
    this.endpoint(family.a, { other: parseAddr(other.a) });
    this.endpoint(family.b, { other: parseAddr(other.b), id: id.b, identity: identity.b, mac: macBytes(mac.b), hostMac: macBytes(mac.hostB), egressSet: set.bEgress, ingressSet: set.bIngress });
    for (const own of [family.node, family.router]) this.endpoint(own, { id: id.host, identity: identity.host, flags: EndpointFlag.Host | EndpointFlag.Ready, ifindex: 0, egressSet: 0, ingressSet: 0 });
    this.address(`${family.remote}`, { identity: identity.remote, flags: IpcacheFlag.Cluster });
    this.address(`${family.otherNode}`, { identity: identity.remoteNode, flags: IpcacheFlag.Cluster | IpcacheFlag.Node });
    this.address(family.cluster, { identity: 0, flags: IpcacheFlag.Cluster });
    this.address(family.everything, { identity: identity.worldV4, flags: 0 });
    this.service(family);
  }

  /** The services and the backend of a family. */
  service(family: Family): void {
    const [service, lonely] = family.name === 'IPv4' ? [1, 2] : [3, 4];
    for (const protocol of [6, 17]) {
      this.maps.services.update({ addr: parseAddr(family.service), port: servicePort, protocol, scope: 0 }, { id: service, count: 1, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
      this.maps.services.update({ addr: parseAddr(family.lonely), port: servicePort, protocol, scope: 0 }, { id: lonely, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: 0 });
    }
    this.maps.serviceSlots.update({ service, slot: 0 }, { backend: service });
    this.maps.backends.update({ id: service }, { addr: parseAddr(family.b), port: backendPort, protocol: 6, state: 0 });
    this.maps.serviceAddresses.update({ id: service }, { addr: parseAddr(family.service), port: servicePort });
  }

  endpoint(addr: string, change: Partial<{ ifindex: number; id: number; identity: number; policyIdentity: number; ingressSet: number; egressSet: number; mac: Uint8Array; hostMac: Uint8Array; flags: number; other: Uint8Array }>): void {
    this.maps.endpoints.update({ addr: parseAddr(addr) }, {
      ifindex: INTERFACE, id: id.a, identity: identity.a, policyIdentity: 0, ingressSet: set.aIngress, egressSet: set.aEgress,
      mac: macBytes(mac.a), hostMac: macBytes(mac.host), flags: EndpointFlag.Ready, other: new Uint8Array(16), ...change,
    });
  }

  address(prefix: string, entry: { identity: number; policyIdentity?: number; flags: number; tunnel?: Uint8Array }): void {
    const { addr, bits } = parsePrefix(prefix);
    this.maps.ipcache.update({ prefixBits: bits, addr }, { policyIdentity: 0, tunnel: new Uint8Array(16), ...entry });
  }

  /** One row for everything. */
  allowAll(number: number): void {
    this.verdict({ set: number, verdict: 1, rule: rule.allow, match: 4 });
  }

  denyAll(number: number): void {
    this.verdict({ set: number, verdict: 2, rule: rule.deny, match: 0 });
  }

  verdict(o: {
    set: number; class?: number; protocol?: number; port?: number; portBits?: number; verdict: number; rule: number; match: number;
    shadowVerdict?: number; shadowRule?: number; keepEstablished?: boolean; askNames?: boolean; l7?: number;
  }): void {
    const prefixBits = o.port !== undefined ? 80 + (o.portBits ?? 16) : o.protocol !== undefined ? 80 : 64;
    this.maps.policyVerdicts.update(
      { prefixBits, set: o.set, class: o.class ?? 0, protocol: o.protocol ?? 0, port: o.port ?? 0 },
      {
        rule: o.rule, l7: o.l7 ?? 0, verdict: o.verdict, match: o.match, shadowRule: o.shadowRule ?? 0, shadowVerdict: o.shadowVerdict ?? 0,
        flags: (o.keepEstablished ? PolicyVerdictFlag.KeepEstablished : 0) | (o.askNames ? PolicyVerdictFlag.AskNames : 0),
      });
  }

  /** A commit of policy: what is known is judged again. */
  commit(): void {
    const { policyGeneration, flags } = this.maps.runtime.lookup(0)!;
    this.maps.runtime.update(0, { policyGeneration: policyGeneration + 1, flags });
  }

  /** Puts the node itself under policy; sets of 0 leave a direction open. */
  hostPolicy(sets: { readonly ingressSet: number; readonly egressSet: number }): void {
    this.maps.runtime.update(0, { ...this.maps.runtime.lookup(0)!, flags: RuntimeFlag.HostPolicy });
    for (const family of families) {
      for (const own of [family.node, family.router]) this.endpoint(own, { id: id.host, identity: identity.host, flags: EndpointFlag.Host | EndpointFlag.Ready, ifindex: 0, ...sets });
    }
  }

  /** Packets, bytes and connections of a rule, over all processors. */
  ruleStat(number: number): readonly [packets: bigint, bytes: bigint, connections: bigint] {
    return sumStats(this.maps.ruleStats.lookupPerCpu(number) ?? []);
  }

  /** What shadow policies would have done, since the world was filled in. */
  shadows(): { readonly key: ShadowKey; readonly packets: bigint; readonly connections: bigint }[] {
    return [...this.maps.shadowStats.entriesPerCpu()].map(([key, rows]) => {
      const [packets, , connections] = sumStats(rows);
      return { key, packets, connections };
    });
  }

  send(program: ProgramName, packet: FrameSpec | Uint8Array, o: { readonly mark?: number } = {}): Outcome {
    const before = this.dropCounts();
    const data = packet instanceof Uint8Array ? packet : buildFrame(packet);
    const result = this.#object.program(program).testRun({ data, context: contextWith(o.mark ?? 0) });
    const told = this.told();
    const reason = result.returnValue === 2 ? this.#newDrop(before) : undefined;
    const action = ({ 0: 'pass', 2: 'drop', 7: 'redirect' } as const)[result.returnValue];
    if (!action) throw new Error(`${program} returned ${result.returnValue}`);
    const frame = Uint8Array.from(result.data);
    const mark = markOf(result.context!);
    return { action, ...(reason && { reason }), frame, mark, ...told, get packet() { return decodeFrame(frame); } };
  }

  /** One run without the bookkeeping of `send`, for very many of them. */
  run(program: ProgramName, data: Uint8Array): Told & { readonly returnValue: number } {
    const { returnValue } = this.#object.program(program).testRun({ data });
    return { returnValue, ...this.told() };
  }

  nanoseconds(program: ProgramName, data: Uint8Array, repeat: number): number {
    return this.#object.program(program).testRun({ data, repeat }).durationNs;
  }

  /** Any program of the object, by its name in C. */
  program(name: string): BpfProgram {
    return this.#object.program(name);
  }

  /** For a program of the measurements that calls it. */
  programFd(program: ProgramName): number {
    return this.#object.program(program).fd;
  }

  dropCounts(): Map<number, bigint> {
    const counts = new Map<number, bigint>();
    for (const [key, rows] of this.maps.metrics.entriesPerCpu()) {
      if (!key.reason) continue;
      const packets = rows.reduce((total, row) => total + row.packets, 0n);
      counts.set(key.reason, (counts.get(key.reason) ?? 0n) + packets);
    }
    return counts;
  }

  #newDrop(before: ReadonlyMap<number, bigint>): string {
    const risen = [...this.dropCounts()].filter(([reason, count]) => count > (before.get(reason) ?? 0n)).map(([reason]) => reason);
    if (risen.length !== 1) throw new Error(`one drop must count one reason, not ${risen.join(', ')}`);
    return reasonNames.get(risen[0]!) ?? String(risen[0]);
  }

  /** What the rings hold. */
  told(): Told {
    return readTold({ flows: this.#flows, drops: this.#drops, names: this.#names });
  }

  close(): void {
    this.#flows.close();
    this.#drops.close();
    this.#names.close();
    this.#object.close();
    for (const map of Object.values(this.maps)) map.close();
  }
}

/** Takes what three rings hold. */
export function readTold(rings: { readonly flows: RingBuffer; readonly drops: RingBuffer; readonly names: RingBuffer }): Told {
  const read = <T>(ring: RingBuffer, decode: (record: Uint8Array) => T): T[] => {
    const records: T[] = [];
    ring.drain((bytes, offset, length) => records.push(decode(new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length).slice())));
    return records;
  };
  const written = read(rings.flows, traceOf);
  return {
    flows: written.filter(event => event.type === EventType.PolicyVerdict), requests: written.filter(event => event.type === EventType.L7), traces: written.filter(event => event.type === EventType.Trace),
    drops: read(rings.drops, record => flowEventCodec.decode(record)),
    names: read(rings.names, record => ({ ...nameEventCodec.decode(record), payload: record.subarray(nameEventCodec.size) })),
  };
}

function traceOf(record: Uint8Array): Trace {
  const event = flowEventCodec.decode(record);
  if ((event.flags & EventFlag.End) === 0) return event;
  const { event: _, ...totals } = connectionEventCodec.decode(record);
  return { ...event, totals };
}

/** struct __sk_buff up to the mark, which is its third word. */
const MARK_OFFSET = 8;

function contextWith(mark: number): Uint8Array {
  const context = new Uint8Array(192);
  new DataView(context.buffer).setUint32(MARK_OFFSET, mark, true);
  return context;
}

const markOf = (context: Uint8Array): number => new DataView(context.buffer, context.byteOffset).getUint32(MARK_OFFSET, true);

function sumStats(rows: readonly RuleStat[]): readonly [bigint, bigint, bigint] {
  const sum = (field: 'packets' | 'bytes' | 'connections') => rows.reduce((total, row) => total + row[field], 0n);
  return [sum('packets'), sum('bytes'), sum('connections')];
}

function clear(map: BpfMap<unknown, unknown>): void {
  for (const key of [...map.entries()].map(([key]) => key)) map.delete(key);
}

function clearPerCpu(map: BpfMap<unknown, unknown>): void {
  for (const key of [...map.entriesPerCpu()].map(([key]) => key)) map.delete(key);
}

/** Of all programs, from their sources. */
export function programNames(): string[] {
  return globSync(fileURLToPath(new URL('../../bpf/programs/*.c', import.meta.url))).flatMap(file => [...readFileSync(file, 'utf8').matchAll(/^SEC\("[^"]+"\)\nint (\w+)\(/gm)].map(match => match[1]!));
}

/** To skip at loading: the verifier takes seconds for all of them. */
export const allBut = (isNeeded: (name: string) => boolean): string[] => programNames().filter(name => !isNeeded(name));

export const nowS = (): number => Number(process.hrtime.bigint() / 1_000_000_000n);

/** Is it a second that a program can have read since `began`? Its clock (bpf_ktime_get_coarse_ns) may be behind by a tick, and so by a second. */
export const isSince = (began: number, second: number): boolean => second >= began - 1 && second <= nowS();

export const address = (bytes: Uint8Array): string => formatAddr(bytes);
export const hasObject = (): boolean => {
  try {
    return readFileSync(objectPath).length > 0;
  } catch {
    return false;
  }
};
