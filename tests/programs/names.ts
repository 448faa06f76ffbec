/** What tests of names put into the maps: an automaton of patterns, rules, and a pod that asks a resolver. */
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { namePutCodec, type NameState } from '../../src/datapath/generated/structs.ts';
import { RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { buildNameAutomaton, nameColumns, type NameAutomaton } from '../../src/policy/name-automaton.ts';
import { formatAddr, parseAddr } from '../../src/std/ip.ts';
import { type Datapath, type Family, id, mac, type Maps, type Outcome, set } from './harness.ts';
import type { FrameSpec } from './packet.ts';

export const anyClass = 0xffffffff;
export const l7Number = 77;
export const nameRule = 701;
export const resolverPort = 53;

/** The identity of the addresses of names that exactly these patterns match. */
export const nameIdentity = (automaton: NameAutomaton, patterns: readonly string[], first = 5000): number =>
  first + automaton.sets.findIndex(one => one.join() === [...patterns].sort().join());

export interface AutomatonOptions {
  /** Identity by number of the set of patterns; by default 5000 + number. */
  readonly identityOf?: (set: number) => number;
}

/** Puts the automaton of these patterns in the kernel's place; the class of a name is the number of its set. */
export function loadAutomaton(maps: Maps, patterns: readonly string[], o: AutomatonOptions = {}): NameAutomaton {
  const automaton = buildNameAutomaton(patterns);
  const { inner } = specs.nameAutomaton as MapSpec<number, number, NameState>;
  using states = BpfMap.create({ ...inner!, maxEntries: automaton.states });
  const identityOf = o.identityOf ?? (number => 5000 + number);
  for (let state = 0; state < automaton.states; state++) {
    const number = automaton.accepting[state]!;
    states.update(state, { next: [...automaton.next.subarray(state * nameColumns, (state + 1) * nameColumns)], class: number, identity: number === 0 ? 0 : identityOf(number) });
  }
  maps.nameAutomaton.update(0, states.fd);
  return automaton;
}

/** Lets names be asked that match one of the patterns. */
export function allowNames(maps: Maps, automaton: NameAutomaton, patterns: readonly string[], l7 = l7Number): void {
  automaton.sets.forEach((matched, number) => {
    if (number !== 0 && matched.some(pattern => patterns.includes(pattern))) maps.nameRules.update({ l7, class: number }, { rule: nameRule });
  });
}

/** DNS rules for pod a, everywhere. */
export function redirectDns(datapath: Datapath, o: { readonly ruleId?: number; readonly port?: number } = {}): void {
  datapath.verdict({ set: set.aEgress, protocol: 17, port: o.port ?? resolverPort, verdict: 3, rule: o.ruleId ?? 70, match: 2, l7: l7Number });
}

export function namesAreInForce(maps: Maps): void {
  maps.runtime.update(0, { ...maps.runtime.lookup(0)!, flags: RuntimeFlag.Names });
}

export const query = (family: Family, payload: Uint8Array, change: Partial<FrameSpec> = {}): FrameSpec => ({
  sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'udp', sourcePort: 40000, destinationPort: resolverPort, payload, ...change,
});

export const reply = (family: Family, payload: Uint8Array, change: Partial<FrameSpec> = {}): FrameSpec => ({
  sourceMac: mac.b, destinationMac: mac.host, source: family.b, destination: family.a, protocol: 'udp', sourcePort: resolverPort, destinationPort: 40000, payload, ...change,
});

/** What a pod has learned: `address identity`, sorted. */
export function learned(maps: Maps, endpoint: number = id.a): string[] {
  return [...maps.nameAddresses.entries()].filter(([key]) => key.endpoint === endpoint)
    .flatMap(([key, row]) => row.slots.filter(slot => slot.identity !== 0).map(slot => `${formatAddr(key.addr)} ${slot.identity}`)).sort();
}

/** As the agent and the proxy write. */
export function putName(datapath: Datapath, address: string, o: { readonly endpoint?: number; readonly identity: number; readonly expiresS: number; readonly replaces?: readonly number[] }): boolean {
  const data = new Uint8Array(namePutCodec.size);
  namePutCodec.encode({
    key: { endpoint: o.endpoint ?? id.a, addr: parseAddr(address) }, identity: o.identity, expiresS: o.expiresS,
    replaces: Array.from({ length: 8 }, (_, i) => o.replaces?.[i] ?? 0), done: 0,
  }, data);
  datapath.program('name_put').call(data);
  return namePutCodec.decode(data).done === 1;
}

export const outcome = ({ action, reason }: Outcome): string => reason ?? action;
