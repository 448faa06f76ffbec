import type { Flow } from '../../model/flow.ts';
import { isIPv4, parseAddr } from '../../std/ip.ts';
import { cgroupRoot } from '../../sys/cgroup.ts';
import { systemCgroup } from '../../cluster/children.ts';
import { callLocal } from '../../cluster/local-api.ts';
import type { AgentStatus } from '../../model/status.ts';
import type { Context } from '../context.ts';
import type { LocalPod } from '../pods.ts';
import { DropWatch } from '../probe/drops.ts';
import type { Outside } from './outside.ts';
import { Peer, type PeerProtocol, type PeerResult } from './peer.ts';
import type { Probe } from '../../policy/conformance/case.ts';
import type { CasePlan, Place, PlannedProbe } from './plan.ts';

/** What became of a probe; `drop` is the very packet's, as an agent saw it. */
export interface Observed extends PeerResult {
  readonly drop?: Flow;
  /** Silent, no drop seen, and the kernel says that it could not tell of some. */
  readonly dropsLost?: boolean;
}

/** More at once would overflow the queues of the devices, and the loss would look like policy. */
const atOnce = 400;
/** A drop that an agent reports ends the wait; so long does one take at most, and an answer, on a machine that is busy with other things. */
const silenceMs = 5_000;
const firstSctpPort = 32_768;

/** The ends of the rig, one process each, and the probes between them. */
export class RigProber {
  readonly #context: Context;
  readonly #outside: Outside;
  readonly #drops: DropWatch;
  readonly #peers = new Map<string, Peer>();
  #pods: ReadonlyMap<string, LocalPod> = new Map();
  #sctpPorts = 0;
  /** SCTP probes were INIT packets on raw sockets. */
  rawSctp = false;

  constructor(context: Context, outside: Outside) {
    this.#context = context;
    this.#outside = outside;
    this.#drops = new DropWatch(context);
  }

  /** The pod is about to go. */
  forget(key: string): void {
    const name = nameOf({ kind: 'pod', key });
    this.#peers.get(name)?.close();
    this.#peers.delete(name);
  }

  /** Servers first, on every port that will be asked and that pods declare; then all probes. */
  async run(plan: CasePlan, pods: ReadonlyMap<string, LocalPod>): Promise<readonly Observed[]> {
    this.#pods = pods;
    await this.#drops.ready;
    const lostBefore = await this.#lostDrops();
    await this.#listen(plan);
    const results: Observed[] = new Array<Observed>(plan.probes.length);
    let next = 0;
    const lane = async () => {
      while (next < plan.probes.length) {
        const mine = next++;
        results[mine] = await this.#try(plan.probes[mine]!);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, lane));
    const dropsLost = (await this.#lostDrops()) > lostBefore;
    return dropsLost ? results.map(result => ({ ...result, dropsLost })) : results;
  }

  close(): void {
    this.#drops.close();
    for (const peer of this.#peers.values()) peer.close();
  }

  async #listen(plan: CasePlan): Promise<void> {
    for (const pod of plan.pods) for (const { port, protocol } of pod.ports ?? []) this.#peer({ kind: 'pod', key: pod.key }).listen(protocolOf(protocol), port);
    for (const { probe, to, from } of plan.probes) {
      this.#peer(from);
      for (const place of to) this.#peer(place).listen(protocolOf(probe.protocol), probe.port ?? 0);
    }
    await Promise.all([...this.#peers.values()].map(peer => peer.sync()));
    this.rawSctp ||= plan.probes.some(({ probe, from }) => probe.protocol === 'SCTP' && this.#peer(from).sctp === 'raw');
  }

  async #try(planned: PlannedProbe): Promise<Observed> {
    let observed: Observed = { outcome: 'unreachable', reason: 'no destination' };
    for (const to of planned.to) {
      observed = await this.#tryOne(planned, to);
      if (observed.outcome !== 'allow') break;
    }
    return observed;
  }

  async #tryOne({ probe, from }: PlannedProbe, to: Place): Promise<Observed> {
    const protocol = protocolOf(probe.protocol);
    const family = [from, to].some(place => place.kind === 'outside' && !isIPv4(parseAddr(place.address))) ? 6 : 4;
    const since = new Date();
    let drop: Flow | undefined;
    let stop: () => void = () => {};
    const source = from.kind === 'outside' ? from.address : undefined;
    const destination = { ip: this.#address(to, family), port: protocol === 'icmp' ? 0 : probe.port ?? 0 };
    const order = { protocol, destination: destination.ip, port: destination.port, timeoutMs: silenceMs, ...(source !== undefined && { source }), ...(protocol === 'sctp' && { ownPort: this.#sctpPort() }), ...(probe.http && { request: requestText(probe.http, destination.ip) }) };
    const attempt = this.#peer(from).probe(order, own => {
      stop = this.#drops.expect(protocol.toUpperCase(), own, since, flow => {
        drop = flow;
        attempt.cancel();
      }, destination);
    });
    const result = await attempt.result;
    stop();
    return drop ? { ...result, drop } : result;
  }

  /** No two pods use one at a time: masquerading cannot give SCTP another port, for its checksum covers the whole packet. */
  #sctpPort(): number {
    return firstSctpPort + (this.#sctpPorts++ % (65_536 - firstSctpPort));
  }

  #address(place: Place, family: 4 | 6): string {
    if (place.kind === 'outside') return place.address;
    const addresses = place.kind === 'pod' ? this.#pods.get(place.key)!.ips : nodeAddresses(this.#context, place.name);
    return addresses.find(address => isIPv4(parseAddr(address)) === (family === 4))!;
  }

  #peer(place: Place): Peer {
    const name = nameOf(place);
    let peer = this.#peers.get(name);
    if (!peer) this.#peers.set(name, (peer = new Peer(this.#originOf(place))));
    return peer;
  }

  #originOf(place: Place): { readonly label: string; readonly netns: string; readonly cgroup: string } {
    const { paths, instance } = this.#context;
    if (place.kind === 'outside') return this.#outside.origin;
    if (place.kind === 'node') return { label: place.name, netns: paths.node(place.name).netns, cgroup: systemCgroup(cgroupRoot(), instance, place.name) };
    const { netns, cgroup } = this.#pods.get(place.key)!;
    return { label: place.key, netns, cgroup };
  }

  async #lostDrops(): Promise<number> {
    const statuses = await Promise.all(this.#context.record.nodes.map(node => callLocal<AgentStatus>(this.#context.paths.node(node.name).agentSocket, '/v1/status')));
    return statuses.reduce((sum, status) => sum + (status?.events.lostDrops ?? 0), 0);
  }
}

/** As a client writes it; the case's own Host header counts. */
function requestText({ method, path, headers = {} }: NonNullable<Probe['http']>, host: string): string {
  const all = Object.keys(headers).some(name => name.toLowerCase() === 'host') ? headers : { Host: isIPv4(parseAddr(host)) ? host : `[${host}]`, ...headers };
  return `${method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

function nodeAddresses(context: Context, name: string): readonly string[] {
  const node = context.record.nodes.find(n => n.name === name)!;
  return [node.underlay4, node.underlay6];
}

/** One process serves all addresses outside. */
function nameOf(place: Place): string {
  return place.kind === 'outside' ? 'outside' : place.kind === 'node' ? `node ${place.name}` : `pod ${place.key}`;
}

function protocolOf(protocol: string): PeerProtocol {
  const word = protocol.toLowerCase();
  return word.startsWith('icmp') ? 'icmp' : (word as PeerProtocol);
}
