/**
 * The third answer: the compiled sets in real maps, filled and changed as the agent does it, and packets through the loaded
 * programs. A packet between two pods of the node is judged at both ends, so it may answer two questions.
 *
 *     pod of n1 ──from_pod──► any peer          (egress, and ingress where the peer is of n1 too)
 *     any other peer ──from_network──► pod of n1 (ingress)     the node ──to_pod──► pod of n1
 */
import { EndpointFlag, IpcacheFlag } from '../../src/datapath/generated/enums.ts';
import type { FlowEvent } from '../../src/datapath/generated/structs.ts';
import { PolicySets } from '../../src/features/policy/sets.ts';
import { lookup } from '../../src/policy/evaluate.ts';
import { parseAddr, parsePrefix, wireBytes } from '../../src/std/ip.ts';
import { Datapath } from '../programs/harness.ts';
import type { ProgramName } from '../programs/harness.ts';
import { buildFrame, macBytes } from '../programs/packet.ts';
import type { FrameSpec } from '../programs/packet.ts';
import type { Engine } from './engine.ts';
import { here, reservedPeers } from './generate.ts';
import { ofKind, podKey } from './objects.ts';
import type { Answer, Direction, Pod, Peer, Question } from './objects.ts';

const podMac = '02:00:00:00:00:0a';
const hostMac = '02:00:00:00:00:fe';
/** Addresses of n1 itself as its pods see them. */
const router = ['10.244.1.1', 'fd00:10:244:1::1'] as const;
const directionNumber: Readonly<Record<Direction, number>> = { ingress: 1, egress: 2 };
const shot = 2;
const policyDenied = 133;
/** Of an event: the denial of a policy in audit. */
const audited = 4;

/** What the programs said to one question. */
export interface KernelAnswer {
  readonly question: Question;
  readonly answer: Answer;
}

export class Kernel {
  readonly #datapath = new Datapath({ masquerade: 0 });
  #sets!: PolicySets;
  #endpoints = new Map<string, Parameters<Datapath['endpoint']>[1]>();
  #addresses = new Map<string, { identity: number; flags: number }>();
  readonly #ids = new Map<string, number>();

  constructor() {
    const { endpoints, ipcache } = this.#datapath.maps;
    for (const key of [...endpoints.entries()].map(([k]) => k)) endpoints.delete(key);
    for (const key of [...ipcache.entries()].map(([k]) => k)) ipcache.delete(key);
    this.forget();
  }

  /** As a node that has just started. */
  forget(): void {
    this.#sets?.retain(new Set());
    const { policyClasses, policyVerdicts } = this.#datapath.maps;
    for (const key of [...policyClasses.entries()].map(([k]) => k)) policyClasses.delete(key);
    for (const key of [...policyVerdicts.entries()].map(([k]) => k)) policyVerdicts.delete(key);
    this.#sets = new PolicySets({ classes: policyClasses, verdicts: policyVerdicts });
  }

  /** Brings the maps to what the engine says now: sets, then addresses, then endpoints, then the clean-up. */
  load(engine: Engine): void {
    const pods = ofKind(engine.objects, 'Pod').filter(p => p.spec.nodeName === here);
    const used = new Set<string>();
    const setOf = (pod: Pod, direction: Direction) => {
      const compiled = engine.set({ pod: podKey(pod) }, direction);
      used.add(compiled.key);
      return this.#sets.ensure(compiled).id;
    };
    const endpoints = new Map<string, Parameters<Datapath['endpoint']>[1]>(router.map(address => [address, { id: 1, identity: 1, flags: EndpointFlag.Host | EndpointFlag.Ready, ifindex: 0, egressSet: 0, ingressSet: 0 }]));
    for (const pod of pods) {
      const [ingressSet, egressSet] = [setOf(pod, 'ingress'), setOf(pod, 'egress')];
      const row = { id: this.#idOf(pod), identity: engine.identity({ pod: podKey(pod) }, { pod: podKey(pod) }), ingressSet, egressSet, mac: macBytes(podMac), hostMac: macBytes(hostMac) };
      for (const { ip } of pod.status.podIPs) endpoints.set(ip, row);
    }
    this.#loadAddresses(engine);
    const map = this.#datapath.maps.endpoints;
    for (const address of this.#endpoints.keys()) if (!endpoints.has(address)) map.delete({ addr: parseAddr(address) });
    for (const [address, row] of endpoints) this.#datapath.endpoint(address, row);
    this.#endpoints = endpoints;
    this.#sets.retain(used);
    this.#datapath.commit();
  }

  /** What differs between the kernel's tables and the engine's. */
  verify(): readonly string[] {
    return this.#sets.verify();
  }

  #loadAddresses(engine: Engine): void {
    const next = new Map<string, { identity: number; flags: number }>([['0.0.0.0/0', { identity: 9, flags: 0 }], ['::/0', { identity: 10, flags: 0 }]]);
    for (const [prefix, identity] of engine.prefixes) next.set(prefix, { identity, flags: 0 });
    const subject = { pod: podKey(ofKind(engine.objects, 'Pod').find(p => p.spec.nodeName === here)!) };
    for (const peer of [...ofKind(engine.objects, 'Pod').filter(p => p.spec.nodeName !== here).map(p => ({ pod: podKey(p) })), { node: 'n2' }, ...reservedPeers.map(reserved => ({ reserved }))]) {
      for (const address of addressesOf(engine, peer)) next.set(address, { identity: engine.identity(peer, subject), flags: IpcacheFlag.Cluster | ('node' in peer ? IpcacheFlag.Node : 0) });
    }
    for (const text of this.#addresses.keys()) {
      if (next.has(text)) continue;
      const { addr, bits } = parsePrefix(text);
      this.#datapath.maps.ipcache.delete({ prefixBits: bits, addr });
    }
    for (const [text, entry] of next) {
      const known = this.#addresses.get(text);
      if (known?.identity !== entry.identity || known.flags !== entry.flags) this.#datapath.address(text, entry);
    }
    this.#addresses = next;
  }

  #idOf(pod: Pod): number {
    const id = this.#ids.get(podKey(pod)) ?? 100 + this.#ids.size;
    this.#ids.set(podKey(pod), id);
    return id;
  }

  /** Sends the packet that asks the question; empty where no packet can (host policies, a node that asks itself, no address of the family). */
  ask(engine: Engine, q: Question): readonly KernelAnswer[] {
    if (!('pod' in q.subject)) return [];
    if ('node' in q.peer && q.peer.node === here && q.direction === 'ingress' && engine.settings.allowLocalhost === 'policy') return [];
    const [subject, peer] = [addressesOf(engine, q.subject), addressesOf(engine, q.peer)];
    // ICMP of the other family is no ICMP.
    if ((q.protocol === 1 && q.v6) || (q.protocol === 58 && !q.v6)) return [];
    const own = subject[q.v6 ? 1 : 0]!;
    const other = 'outside' in q.peer ? q.peer.outside : peer[q.v6 ? 1 : 0]!;
    const [source, destination] = q.direction === 'egress' ? [own, other] : [other, own];
    const local = 'pod' in q.peer && engine.pods.get(q.peer.pod)!.node === here;
    const questions = local ? bothEnds(q) : [q];
    // The programs do not know networks yet.
    if (questions.some(asked => engine.peerOf(asked) !== engine.identity(asked.peer, asked.subject))) return [];
    const program: ProgramName = q.direction === 'egress' || local ? 'from_pod' : 'node' in q.peer && q.peer.node === here ? 'to_pod' : 'from_network';
    const frame = frameOf(source, destination, q);
    const { returnValue, flows, drops } = this.#datapath.run(program, buildFrame(frame));
    this.#forgetConnection(frame);
    return this.#read(engine, questions, returnValue, flows, drops);
  }

  /** Every event says which end spoke: its rule must be the one of the compiled row, not only its verdict. */
  #read(engine: Engine, questions: readonly Question[], returnValue: number, flows: readonly FlowEvent[], drops: readonly FlowEvent[]): readonly KernelAnswer[] {
    const answers: KernelAnswer[] = [];
    for (const question of questions) {
      const toldOf = (events: readonly FlowEvent[]) => events.find(e => e.direction === directionNumber[question.direction]);
      const drop = toldOf(drops);
      const event = drop ?? toldOf(flows);
      if (drop && drop.reasonOrPoint !== policyDenied) throw new Error(`dropped for another reason than policy: ${drop.reasonOrPoint}`);
      if (!event) {
        // What the node itself sends is told without a judgement.
        if (questions.length === 1 && returnValue !== shot) answers.push({ question, answer: { verdict: 'allow' } });
        continue;
      }
      answers.push({ question, answer: { verdict: drop ? 'deny' : event.verdict === audited ? 'audit' : 'allow' } });
      const fromHost = 'node' in question.peer && question.peer.node === here && question.direction === 'ingress';
      const row = lookup(engine.set(question.subject, question.direction), engine.peerOf(question), question.protocol, question.port);
      if (!fromHost && (event.rule !== row?.rule || event.match !== row.match)) throw new Error(`the kernel names rule ${event.rule} (match ${event.match}), the tables say ${row?.rule} (${row?.match})`);
      if (drop) break;
    }
    if (answers.length === 0) throw new Error(`program returned ${returnValue} without a word`);
    if ((returnValue === shot) !== answers.some(a => a.answer.verdict === 'deny')) throw new Error(`program returned ${returnValue}, its events say otherwise`);
    return answers;
  }

  /** So that every packet opens its connection anew. */
  #forgetConnection(frame: FrameSpec): void {
    const [a, b] = [parseAddr(frame.source), parseAddr(frame.destination)];
    const [sourcePort, destinationPort] = typeof frame.protocol === 'number' ? [0, 0] : frame.protocol !== 'icmp' ? [frame.sourcePort!, frame.destinationPort!]
      : [8, 128].includes(frame.icmp!.type) ? [frame.icmp!.id!, 0] : [0, 129].includes(frame.icmp!.type) ? [0, frame.icmp!.id!] : [0, 0];
    const low = Buffer.compare(a, b) || sourcePort - destinationPort;
    const [first, second] = low <= 0 ? [[a, sourcePort], [b, destinationPort]] as const : [[b, destinationPort], [a, sourcePort]] as const;
    this.#datapath.maps.conntrack.delete({ low: first[0], lowPort: first[1], high: second[0], highPort: second[1], protocol: protocolOf(frame), kind: 0 });
  }

  close(): void {
    this.#datapath.close();
  }
}

function bothEnds(q: Question): readonly Question[] {
  if (!('pod' in q.peer && 'pod' in q.subject)) return [q];
  const turned: Question = { ...q, subject: q.peer, peer: q.subject, direction: q.direction === 'egress' ? 'ingress' : 'egress' };
  return q.direction === 'egress' ? [q, turned] : [turned, q];
}

function addressesOf(engine: Engine, end: Peer): readonly string[] {
  if ('pod' in end) return ofKind(engine.objects, 'Pod').find(p => podKey(p) === end.pod)!.status.podIPs.map(p => p.ip);
  if ('node' in end) return end.node === here ? router : ['172.30.0.12', 'fdc1::12'];
  if ('outside' in end) return [end.outside];
  const number = 200 + (reservedPeers as readonly string[]).indexOf(end.reserved);
  return [`10.244.2.${number}`, `fd00:10:244:2::${number}`];
}

const names: Readonly<Record<number, FrameSpec['protocol']>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp', 132: 'sctp' };

function frameOf(source: string, destination: string, q: Question): FrameSpec {
  const base = { sourceMac: podMac, destinationMac: hostMac, source, destination, protocol: names[q.protocol] ?? q.protocol };
  if (q.protocol === 1 || q.protocol === 58) return { ...base, icmp: { type: q.port, id: 7 } };
  return { ...base, sourcePort: 40000, destinationPort: q.port, flags: 'S', payload: new Uint8Array(8) };
}

function protocolOf(frame: FrameSpec): number {
  if (typeof frame.protocol === 'number') return frame.protocol;
  if (frame.protocol === 'icmp') return wireBytes(parseAddr(frame.source)).length === 4 ? 1 : 58;
  return { tcp: 6, udp: 17, sctp: 132 }[frame.protocol];
}
