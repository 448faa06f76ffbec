/**
 * The programs between a client and a pod's server, each packet by BPF_PROG_TEST_RUN, in the order in which the kernel runs them:
 *
 *     client ─▶ from_pod ─────(jumps to)─────▶ http_to_pod ──────────▶ server
 *                   └────(MARK_TO_READER)────▶ http_to_pod ─▶ to_pod ─▶ server      where `readAtDevice` has taken the jump away
 *     client ◀─ from_pod ◀────────────────── http_from_pod ◀─ server
 *                                                  ▲
 *                        http_to_pod's own answers ┘
 */
import { EndpointFlag } from '../../src/datapath/generated/enums.ts';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { bytesCodec } from '../../src/ebpf/codec.ts';
import { BpfMap } from '../../src/ebpf/map.ts';
import type { MapSpec } from '../../src/ebpf/map.ts';
import { compileHttpTables } from '../../src/policy/http-tables.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { backendPort, Datapath, families, id, identity, mac, set } from './harness.ts';
import type { Family } from './harness.ts';
import type { Box, Passed } from './http-world.ts';
import { macBytes } from './packet.ts';
import { buildSegment, readSegment } from './tcp-segment.ts';
import type { End, Segment } from './tcp-segment.ts';

/** What such a packet meets. */
const boxPrograms = ['from_pod', 'to_pod', 'http_to_pod', 'http_from_pod'] as const;
export const markToReader = 0x0500;
const markOfReader = 0x0700;
const next = -1, ok = 0, shot = 2, redirected = 7;
/** In struct __sk_buff. */
const MARK_OFFSET = 8, GSO_SIZE_OFFSET = 176;

/** Programs under which pod 5 takes, in both families, what the rules let pass. */
export function restrictedDatapath(rules: readonly HttpL7Rule[]): Datapath {
  const datapath = new Datapath({}, {}, boxPrograms);
  for (const family of families) restrict(datapath, family, 5, rules);
  return datapath;
}

/** Puts b behind a layer 7 set that the kernel carries out. */
function restrict(datapath: Datapath, family: Family, number: number, rules: readonly HttpL7Rule[]): void {
  const compiled = compileHttpTables(rules);
  if ('unfit' in compiled) throw new Error(`rules do not fit: ${compiled.unfit}`);
  using inner = BpfMap.create({ ...specs.httpSets.inner!, value: bytesCodec(compiled.tables.length) } as MapSpec<number, Uint8Array>);
  inner.update(0, compiled.tables);
  datapath.maps.httpSets.update(number, inner.fd as never);
  datapath.verdict({ set: set.bIngress, protocol: 6, verdict: 3, rule: 700, match: 4, l7: number });
  datapath.endpoint(family.b, { id: id.b, identity: identity.b, mac: macBytes(mac.b), hostMac: macBytes(mac.hostB), egressSet: set.bEgress, ingressSet: set.bIngress, flags: EndpointFlag.Ready | EndpointFlag.Http });
  datapath.commit();
}

/** From now on programs that forward jump to the one that reads. */
export function readHere(datapath: Datapath): void {
  datapath.maps.httpReaders.update(0, datapath.program('http_to_pod').fd);
}

/** From now on segments are read where they leave by the pod's device. */
export function readAtDevice(datapath: Datapath): void {
  datapath.maps.httpReaders.delete(0);
}

/** Both ways of reading a segment: by which program it is read. */
export const readers = [
  { name: 'read where they are forwarded', program: 'from_pod', choose: readHere },
  { name: 'read at the pod\'s device', program: 'http_to_pod', choose: readAtDevice },
] as const;

export interface BoxCounts {
  dropped: number;
  passed: number;
  answered: number;
}

interface Ran {
  readonly verdict: number;
  readonly frame: Uint8Array;
  readonly mark: number;
}

export class KernelBox implements Box {
  readonly counts: BoxCounts = { dropped: 0, passed: 0, answered: 0 };
  readonly client: End;
  readonly server: End;
  readonly #datapath: Datapath;
  readonly #turn: { readonly after: number; readonly then: () => void } | undefined;
  #frames = 0;
  /** gso_size of the frame that is on its way. */
  #packet = 0;

  /** `turn`: what changes after so many of the client's frames. */
  constructor(datapath: Datapath, family: Family, clientPort: number, turn?: { readonly after: number; readonly then: () => void }) {
    this.#datapath = datapath;
    this.#turn = turn;
    this.client = { address: family.a, port: clientPort, mac: mac.a };
    this.server = { address: family.b, port: backendPort, mac: mac.host };
  }

  fromClient(s: Segment): Passed {
    this.#packet = s.packet ?? 0;
    const passed = this.frameFromClient(buildSegment(this.client, this.server, s));
    this.#packet = 0;
    return passed;
  }

  fromServer(s: Segment): Passed {
    return this.#fromPod(this.#run('http_from_pod', this.leaving(s), 0));
  }

  /** Any frame of the client's. */
  frameFromClient(frame: Uint8Array): Passed {
    if (this.#frames++ === this.#turn?.after) this.#turn.then();
    const sent = this.#run('from_pod', frame, 0);
    // To the node's stack: the proxy's, as where a connection does not begin with a SYN.
    if (sent.verdict === shot || sent.verdict === ok) return this.#dropped();
    if (sent.verdict !== redirected) throw new Error(`from_pod gave ${sent.verdict}`);
    return this.#forwarded(sent);
  }

  /** By its mark: still to be read, an answer on its way back, or on its way into the pod. */
  #forwarded(sent: Ran): Passed {
    switch (sent.mark) {
      case markToReader: return this.#toPod(this.#run('http_to_pod', sent.frame, sent.mark));
      case markOfReader: return this.#toPod(sent);
      case 0: return this.#toPod({ ...sent, verdict: this.#jumps() ? ok : next });
      default: throw new Error(`from_pod left the mark ${sent.mark}`);
    }
  }

  #jumps(): boolean {
    return this.#datapath.maps.httpReaders.lookup(0) !== undefined;
  }

  /** A client's segment as from_pod gets it. */
  sending(s: Segment): Uint8Array {
    return buildSegment(this.client, this.server, s);
  }

  /** A client's segment as http_to_pod gets it at the pod's device. */
  arriving(s: Segment): Uint8Array {
    const sent = this.#run('from_pod', buildSegment(this.client, this.server, s), 0);
    if (sent.verdict !== redirected || sent.mark !== markToReader) throw new Error(`from_pod gave ${sent.verdict}, mark ${sent.mark}`);
    return sent.frame;
  }

  /** A server's segment as http_from_pod gets it. */
  leaving(s: Segment): Uint8Array {
    return buildSegment({ ...this.server, mac: mac.b }, { ...this.client, mac: mac.hostB }, s);
  }

  /** What becomes of a frame that somebody else has run a program on. */
  after(program: 'from_pod' | 'http_to_pod' | 'http_from_pod', ran: Ran): Passed {
    if (program === 'from_pod') return ran.verdict === shot ? this.#dropped() : this.#forwarded(ran);
    return program === 'http_to_pod' ? this.#toPod(ran) : this.#fromPod(ran);
  }

  #toPod(arrived: Ran): Passed {
    if (arrived.verdict === redirected) {
      const answer = this.#fromPod(this.#run('http_from_pod', arrived.frame, arrived.mark));
      if (answer.toClient.some(s => s.payload.length > 0)) this.counts.answered++;
      return answer;
    }
    if (arrived.verdict === shot) return this.#dropped();
    if (arrived.verdict !== next && arrived.verdict !== ok) throw new Error(`http_to_pod gave ${arrived.verdict}`);
    // What it has read is not asked again; what is not its business to_pod judges, which lets nothing by that should have been read.
    const last = arrived.verdict === ok ? arrived : this.#run('to_pod', arrived.frame, arrived.mark);
    if (last.verdict === shot) return this.#dropped();
    if (last.verdict !== ok && last.verdict !== next) throw new Error(`to_pod gave ${last.verdict}`);
    this.counts.passed++;
    return { toServer: [readSegment(last.frame)], toClient: [] };
  }

  #fromPod(read: Ran): Passed {
    if (read.verdict === redirected) return this.#back(read);
    if (read.verdict === shot) return this.#dropped();
    if (read.verdict !== next) throw new Error(`http_from_pod gave ${read.verdict}`);
    const sent = this.#run('from_pod', read.frame, read.mark);
    if (sent.verdict === shot) return this.#dropped();
    if (sent.verdict !== redirected) throw new Error(`from_pod gave ${sent.verdict} to an answer`);
    const s = readSegment(sent.frame);
    return s.destination === this.client.address ? { toServer: [], toClient: [s] } : { toServer: [s], toClient: [] };
  }

  /** What http_from_pod has turned round goes to the pod again, by the host's side of its device. */
  #back({ frame }: Ran): Passed {
    const s = readSegment(frame);
    return s.source === this.client.address ? { toServer: [s], toClient: [] } : { toServer: [], toClient: [s] };
  }

  #run(program: string, frame: Uint8Array, mark: number): Ran {
    const context = new Uint8Array(192);
    const fields = new DataView(context.buffer);
    fields.setUint32(MARK_OFFSET, mark, true);
    fields.setUint32(GSO_SIZE_OFFSET, this.#packet, true);
    const { returnValue, data, context: left } = this.#datapath.program(program).testRun({ data: frame, context });
    return { verdict: returnValue, frame: data, mark: new DataView(left!.buffer, left!.byteOffset).getUint32(MARK_OFFSET, true) };
  }

  #dropped(): Passed {
    this.counts.dropped++;
    return { toServer: [], toClient: [] };
  }
}
