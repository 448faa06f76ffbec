/**
 * The third answer: the compiled sets in real maps, filled and changed as the agent does it, and packets through the loaded
 * programs. A packet between two pods of the node is judged at both ends, so it may answer two questions.
 *
 *     pod of n1 ──from_pod──► any peer          (egress, and ingress where the peer is of n1 too)
 *     any other peer ──from_network──► pod of n1 (ingress)     the node ──to_pod──► pod of n1
 */
import { DropReason, EndpointFlag, EventFlag, IpcacheFlag, RuntimeFlag } from '../../src/datapath/generated/enums.ts';
import type { ConntrackKey, FlowEvent } from '../../src/datapath/generated/structs.ts';
import { PolicySets } from '../../src/features/policy/sets.ts';
import type { VerdictRow } from '../../src/policy/compile.ts';
import { lookup } from '../../src/policy/evaluate.ts';
import { formatPrefix, parseAddr, parsePrefix, wireBytes } from '../../src/std/ip.ts';
import { Datapath, programNames } from '../programs/harness.ts';
import type { ProgramName } from '../programs/harness.ts';
import { buildFrame, macBytes } from '../programs/packet.ts';
import type { FrameSpec } from '../programs/packet.ts';
import type { Engine } from './engine.ts';
import { here, reservedPeers } from './generate.ts';
import { KernelRequests } from './kernel-requests.ts';
import type { Carrier } from './kernel-requests.ts';
import type { Request } from './naive-requests.ts';
import { ofKind, podKey } from './objects.ts';
import type { Answer, Direction, Pod, Peer, Question } from './objects.ts';

const podMac = '02:00:00:00:00:0a';
const hostMac = '02:00:00:00:00:fe';
/** Addresses of n1 itself as its pods see them. */
const router = ['10.244.1.1', 'fd00:10:244:1::1'] as const;
const directionNumber: Readonly<Record<Direction, number>> = { ingress: 1, egress: 2 };
const shot = 2;
const policyDenied: readonly number[] = [DropReason.PolicyDenied, DropReason.PolicyDeny];
/** Of an event: the denial of a policy in audit. */
const audited = 4;
const redirected = 3;
const denied = 2;
const tcp = 6;

interface Address { readonly identity: number; readonly policyIdentity: number; readonly flags: number }

/** What the programs said to one question. */
export interface KernelAnswer {
  readonly question: Question;
  readonly answer: Answer;
}

export class Kernel {
  readonly #datapath = new Datapath({ masquerade: 0 }, {}, programNames());
  #sets!: PolicySets;
  #endpoints = new Map<string, Parameters<Datapath['endpoint']>[1]>();
  #addresses = new Map<string, Address>();
  readonly #ids = new Map<string, number>();
  readonly #requests = new KernelRequests(this.#datapath);
  /** Connections through which requests were sent. */
  asked = 0;

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
    const setOf = (subject: Question['subject'], direction: Direction) => {
      const compiled = engine.set(subject, direction);
      used.add(compiled.key);
      return this.#sets.ensure(compiled).id;
    };
    const endpoints = new Map<string, Parameters<Datapath['endpoint']>[1]>();
    const hostSets = { ingressSet: setOf({ node: here }, 'ingress'), egressSet: setOf({ node: here }, 'egress') };
    for (const address of router) endpoints.set(address, { id: 1, identity: 1, flags: EndpointFlag.Host | EndpointFlag.Ready, ifindex: 0, ...hostSets });
    const sets = pods.map(pod => [setOf({ pod: podKey(pod) }, 'ingress'), setOf({ pod: podKey(pod) }, 'egress')] as const);
    this.#requests.load(engine.engine.l7Sets());
    for (const [i, pod] of pods.entries()) {
      const [ingressSet, egressSet] = sets[i]!;
      const row = { flags: this.#requests.flags(engine.set({ pod: podKey(pod) }, 'ingress')), id: this.#idOf(pod), identity: engine.identity({ pod: podKey(pod) }, { pod: podKey(pod) }), ingressSet, egressSet, mac: macBytes(podMac), hostMac: macBytes(hostMac) };
      for (const { ip } of pod.status.podIPs) endpoints.set(ip, { ...row, policyIdentity: engine.destination(podKey(pod), ip.includes(':')) });
    }
    this.#loadAddresses(engine);
    const map = this.#datapath.maps.endpoints;
    for (const address of this.#endpoints.keys()) if (!endpoints.has(address)) map.delete({ addr: parseAddr(address) });
    for (const [address, row] of endpoints) this.#datapath.endpoint(address, row);
    this.#endpoints = endpoints;
    this.#sets.retain(used);
    this.#datapath.maps.runtime.update(0, { ...this.#datapath.maps.runtime.lookup(0)!, flags: RuntimeFlag.HostPolicy });
    this.#datapath.commit();
  }

  /** What differs between the kernel's tables and the engine's. */
  verify(): readonly string[] {
    return this.#sets.verify();
  }

  #loadAddresses(engine: Engine): void {
    const outside = (identity: number): Address => ({ identity, policyIdentity: identity, flags: 0 });
    const next = new Map([['0.0.0.0/0', outside(9)], ['::/0', outside(10)]]);
    for (const [prefix, identity] of engine.prefixes) next.set(prefix, outside(identity));
    const subject = { pod: podKey(ofKind(engine.objects, 'Pod').find(p => p.spec.nodeName === here)!) };
    for (const peer of [...ofKind(engine.objects, 'Pod').filter(p => p.spec.nodeName !== here).map(p => ({ pod: podKey(p) })), { node: 'n2' }, ...reservedPeers.map(reserved => ({ reserved }))]) {
      // An address that policies name as a prefix and that is a pod's is the pod's.
      for (const address of addressesOf(engine, peer)) next.set(formatPrefix(parsePrefix(address)), {
        identity: engine.identity(peer, subject), policyIdentity: 'pod' in peer ? engine.destination(peer.pod, address.includes(':')) : 0,
        flags: IpcacheFlag.Cluster | ('node' in peer ? IpcacheFlag.Node : 0),
      });
    }
    for (const text of this.#addresses.keys()) {
      if (next.has(text)) continue;
      const { addr, bits } = parsePrefix(text);
      this.#datapath.maps.ipcache.delete({ prefixBits: bits, addr });
    }
    for (const [text, entry] of next) {
      const known = this.#addresses.get(text);
      if (known?.identity !== entry.identity || known.policyIdentity !== entry.policyIdentity || known.flags !== entry.flags) this.#datapath.address(text, entry);
    }
    this.#addresses = next;
  }

  #idOf(pod: Pod): number {
    const id = this.#ids.get(podKey(pod)) ?? 100 + this.#ids.size;
    this.#ids.set(podKey(pod), id);
    return id;
  }

  /** Sends the packet that asks the question; empty where none can. What is read in UDP are names, which this packet does not ask for. */
  ask(engine: Engine, q: Question): readonly KernelAnswer[] {
    if (isExempt(engine, q)) return [];
    const questions = endsHere(engine, q);
    if (q.protocol !== tcp && questions.some(question => rowOf(engine, question).verdict === 'redirect')) return [];
    const [own, peer] = [addressOf(engine, q.subject, q.v6), addressOf(engine, q.peer, q.v6)];
    const [source, destination] = q.direction === 'egress' ? [own, peer] : [peer, own];
    const [from, to] = q.direction === 'egress' ? [q.subject, q.peer] : [q.peer, q.subject];
    const program: ProgramName = 'pod' in from && engine.pods.get(from.pod)!.node === here ? 'from_pod'
      : 'node' in from && from.node === here ? ('pod' in to && engine.pods.get(to.pod)!.node === here ? 'to_pod' : 'to_network') : 'from_network';
    const frame = frameOf(source, destination, q);
    const { returnValue, flows, drops } = this.#datapath.run(program, buildFrame(frame));
    const forget = (): void => this.#forgetConnection(frame);
    const carrier = this.#requests.carrier(connectionKey(frame));
    forget();
    const end = (address: string, port: number, mac: string) => ({ address, port, mac });
    const passing = (): readonly Request[] => {
      this.asked++;
      return this.#requests.passing({ program, client: end(source, frame.sourcePort!, podMac), server: end(destination, frame.destinationPort!, hostMac) }, forget);
    };
    const answers = this.#read(engine, questions, returnValue, flows, drops);
    return carrier === undefined && !answers.some(({ answer }) => answer.verdict === 'redirect') ? answers : redirects(engine, answers, carrier, passing);
  }

  /** Every event says which end spoke: its rule must be the one of the compiled row, not only its verdict. */
  #read(engine: Engine, questions: readonly Question[], returnValue: number, flows: readonly FlowEvent[], drops: readonly FlowEvent[]): readonly KernelAnswer[] {
    const answers: KernelAnswer[] = [];
    for (const question of questions) {
      const ofThisEnd = (events: readonly FlowEvent[], shadow: number) => events.find(e => e.direction === directionNumber[question.direction] && (e.flags & EventFlag.Shadow) === shadow);
      const drop = ofThisEnd(drops, 0);
      const event = drop ?? ofThisEnd(flows, 0);
      if (drop && !policyDenied.includes(drop.reasonOrPoint)) throw new Error(`dropped for another reason than policy: ${drop.reasonOrPoint}`);
      const shadow = ofThisEnd(flows, EventFlag.Shadow);
      if (!event) throw new Error(`program returned ${returnValue} and told nothing of the ${question.direction}`);
      answers.push({ question, answer: { verdict: drop ? 'deny' : event.verdict === audited ? 'audit' : event.verdict === redirected ? 'redirect' : 'allow', ...(shadow && { shadow: shadow.verdict === denied ? 'deny' : 'allow' }) } });
      const row = rowOf(engine, question);
      // What the node sends to its pods is told without a judgement.
      const isJudged = question.direction === 'egress' || !('node' in question.peer && question.peer.node === here);
      if (isJudged && (event.rule !== row.rule || event.match !== row.match)) throw new Error(`the kernel names rule ${event.rule} (match ${event.match}), the tables say ${row.rule} (${row.match})`);
      if (shadow?.rule !== (isJudged ? row.shadow?.rule : undefined)) throw new Error(`the kernel names shadow rule ${shadow?.rule}, the tables say ${row.shadow?.rule}`);
      if (drop) break;
    }
    if ((returnValue === shot) !== answers.some(a => a.answer.verdict === 'deny')) throw new Error(`program returned ${returnValue}, its events say otherwise`);
    return answers;
  }

  /** So that every packet opens its connection anew. */
  #forgetConnection(frame: FrameSpec): void {
    this.#datapath.maps.conntrack.delete(connectionKey(frame));
    if (frame.protocol !== 'tcp') return;
    this.#requests.forget({ client: { address: frame.source, port: frame.sourcePort! }, server: { address: frame.destination, port: frame.destinationPort! } });
  }

  close(): void {
    this.#requests.close();
    this.#datapath.close();
  }
}

function connectionKey(frame: FrameSpec): ConntrackKey {
  const [a, b] = [parseAddr(frame.source), parseAddr(frame.destination)];
  const [sourcePort, destinationPort] = typeof frame.protocol === 'number' ? [0, 0] : frame.protocol !== 'icmp' ? [frame.sourcePort!, frame.destinationPort!]
    : [8, 128].includes(frame.icmp!.type) ? [frame.icmp!.id!, 0] : [0, 129].includes(frame.icmp!.type) ? [0, frame.icmp!.id!] : [0, 0];
  const low = Buffer.compare(a, b) || sourcePort - destinationPort;
  const [first, second] = low <= 0 ? [[a, sourcePort], [b, destinationPort]] as const : [[b, destinationPort], [a, sourcePort]] as const;
  return { low: first[0], lowPort: first[1], high: second[0], highPort: second[1], protocol: protocolOf(frame), kind: 0 };
}

function rowOf(engine: Engine, q: Question): VerdictRow {
  return lookup(engine.set(q.subject, q.direction), engine.peerOf(q), q.protocol, q.port)!;
}

/**
 * Who carries a connection that is read, and what passes: the programs' own word where they carry it. It is the proxy's where the sender's
 * end is read too, or what is read is no HTTP; what passes there is the matcher's to say.
 */
function redirects(engine: Engine, answers: readonly KernelAnswer[], carrier: Carrier | undefined, passing: () => readonly Request[]): readonly KernelAnswer[] {
  const isMade = !answers.some(({ answer }) => answer.verdict === 'deny');
  const bothRead = answers.filter(({ answer }) => answer.verdict === 'redirect').length > 1;
  if (isMade !== (carrier !== undefined)) throw new Error(isMade ? 'a connection that is to be read is carried by nobody' : `a connection that is denied is carried by the ${carrier}`);
  if (carrier === 'kernel' && bothRead) throw new Error('the kernel carries what is read at both ends');
  return answers.map(({ question, answer }) => {
    if (answer.verdict !== 'redirect') return { question, answer };
    const { passing: wanted, reader } = engine.byTables(question);
    const isOurs = carrier === 'kernel' && question.direction === 'ingress';
    return { question, answer: { ...answer, passing: isOurs ? passing() : wanted, ...(reader && { reader: isMade && !bothRead ? (isOurs ? 'kernel' : 'proxy') : reader }) } };
  });
}

/**
 * What no packet can ask, and what passes whatever policies say: the node to its own pods and to API servers (bpf/lib/host.h).
 * ICMP of the other family is no ICMP.
 */
function isExempt({ pods, settings }: Engine, q: Question): boolean {
  if ((q.protocol === 1 && q.v6) || (q.protocol === 58 && !q.v6)) return true;
  if ('node' in q.peer && q.peer.node === here && q.direction === 'ingress') return settings.allowLocalhost === 'policy';
  if (!('node' in q.subject) || q.direction === 'ingress') return false;
  return ('pod' in q.peer && pods.get(q.peer.pod)!.node === here) || ('reserved' in q.peer && q.peer.reserved === 'kube-apiserver');
}

/** The sender's end first; an end of another node says nothing here. What the node sends to its pod is asked of the pod alone. */
function endsHere({ pods }: Engine, q: Question): readonly Question[] {
  const isHere = 'pod' in q.peer ? pods.get(q.peer.pod)!.node === here : 'node' in q.peer && q.peer.node === here && q.direction === 'egress';
  if (!isHere || 'outside' in q.peer || 'reserved' in q.peer) return [q];
  const turned: Question = { ...q, subject: q.peer, peer: q.subject, direction: q.direction === 'egress' ? 'ingress' : 'egress' };
  return q.direction === 'egress' ? [q, turned] : [turned, q];
}

function addressOf(engine: Engine, end: Peer, v6: boolean): string {
  return 'outside' in end ? end.outside : addressesOf(engine, end)[v6 ? 1 : 0]!;
}

function addressesOf(engine: Engine, end: Exclude<Peer, { outside: string }>): readonly string[] {
  if ('pod' in end) return ofKind(engine.objects, 'Pod').find(p => podKey(p) === end.pod)!.status.podIPs.map(p => p.ip);
  if ('node' in end) return end.node === here ? router : ['172.30.0.12', 'fdc1::12'];
  const number = 200 + (reservedPeers as readonly string[]).indexOf(end.reserved);
  return [`10.244.2.${number}`, `fd00:10:244:2::${number}`];
}

const names: Readonly<Record<number, FrameSpec['protocol']>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp', 132: 'sctp' };

function frameOf(source: string, destination: string, q: Question): FrameSpec {
  const base = { sourceMac: podMac, destinationMac: hostMac, source, destination, protocol: names[q.protocol] ?? q.protocol };
  if (q.protocol === 1 || q.protocol === 58) return { ...base, icmp: { type: q.port, id: 7 } };
  return { ...base, sourcePort: 40000, destinationPort: q.port, flags: 'S', ...(q.protocol !== tcp && { payload: new Uint8Array(8) }) };
}

function protocolOf(frame: FrameSpec): number {
  if (typeof frame.protocol === 'number') return frame.protocol;
  if (frame.protocol === 'icmp') return wireBytes(parseAddr(frame.source)).length === 4 ? 1 : 58;
  return { tcp: 6, udp: 17, sctp: 132 }[frame.protocol];
}
