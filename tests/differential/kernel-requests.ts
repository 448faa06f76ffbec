/**
 * Connections whose HTTP the loaded programs read, opened and asked once for each request:
 *
 *     client ──SYN, request──▶ from_pod | from_network ──▶ http_to_pod ──▶ to_pod ──▶ pod
 *     client ◀────────────── from_pod ◀── http_from_pod ◀──SYN, ACK── pod
 */
import { ConntrackFlag, EndpointFlag } from '../../src/datapath/generated/enums.ts';
import type { ConntrackKey } from '../../src/datapath/generated/structs.ts';
import { KernelTables } from '../../src/features/http-kernel/kernel-tables.ts';
import type { L7Set } from '../../src/model/l7.ts';
import type { CompiledSet } from '../../src/policy/compile.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { closeSocket } from '../../src/sys/net.ts';
import type { Datapath, ProgramName } from '../programs/harness.ts';
import { markToReader } from '../programs/http-kernel-box.ts';
import { listening } from '../programs/proxy-rig.ts';
import { buildSegment, readSegment, segment, tcpFlag } from '../programs/tcp-segment.ts';
import type { End, Segment } from '../programs/tcp-segment.ts';
import { httpTables } from './engine.ts';
import { requests } from './naive-requests.ts';
import type { Request } from './naive-requests.ts';

export type Carrier = 'kernel' | 'proxy';

/** One way to a pod: the program that a packet of the client's meets first, and the ends as it bears them. */
export interface Way {
  readonly program: ProgramName;
  readonly client: End;
  readonly server: End;
}

const next = -1, ok = 0, shot = 2, redirected = 7;
const markOffset = 8;
const [clientIsn, serverIsn] = [1000, 5000];

interface Ran { readonly verdict: number; readonly frame: Uint8Array; readonly mark: number }

export class KernelRequests {
  readonly #datapath: Datapath;
  readonly #tables: KernelTables;
  readonly #listeners: readonly number[];
  #carried: ReadonlySet<number> = new Set();

  constructor(datapath: Datapath) {
    this.#datapath = datapath;
    this.#tables = new KernelTables(datapath.maps.httpSets as never);
    // The programs give nobody to a proxy that does not listen.
    this.#listeners = ([4, 6] as const).map(listening);
    for (const [row, fd] of this.#listeners.entries()) datapath.maps.proxyListeners.update(row, BigInt(fd));
  }

  /** Puts those that the kernel is to carry out into it, as the agent does, and takes the others away. */
  load(sets: ReadonlyMap<number, L7Set>): void {
    const carried = new Set<number>();
    for (const [number, set] of sets) {
      const compiled = set.protocol === 'http' && set.kernel ? httpTables(set) : undefined;
      if (!compiled || 'unfit' in compiled) continue;
      carried.add(number);
      this.#tables.put(number, compiled.tables);
    }
    for (const number of this.#carried) if (!carried.has(number)) this.#tables.remove(number);
    this.#carried = carried;
  }

  /** Of a pod's row: the programs that read are at its device. */
  flags(ingress: CompiledSet): number {
    return EndpointFlag.Ready | (ingress.verdicts.some(({ l7 }) => l7 !== undefined && this.#carried.has(l7)) ? EndpointFlag.Http : 0);
  }

  /** Who carries the connection that has just been opened; undefined: nobody has to. */
  carrier(key: ConntrackKey): Carrier | undefined {
    const flags = this.#datapath.maps.conntrack.lookup(key)?.flags ?? 0;
    if (flags & ConntrackFlag.Http && flags & ConntrackFlag.Proxied) throw new Error('both carry it');
    return flags & ConntrackFlag.Http ? 'kernel' : flags & ConntrackFlag.Proxied ? 'proxy' : undefined;
  }

  /** The requests that reach the pod, each over a connection of its own; what does not must be answered with 403. */
  passing(way: Way, forget: () => void): Request[] {
    const passing = requests.filter(request => {
      const passes = request.includes(' /') && this.#asks(way, request);
      forget();
      return passes;
    });
    this.#datapath.told();
    return passing;
  }

  /** What packets of the connection have left behind, beside conntrack. */
  forget({ client, server }: { readonly client: Omit<End, 'mac'>; readonly server: Omit<End, 'mac'> }): void {
    const key = { client: parseAddr(client.address), server: parseAddr(server.address), clientPort: client.port, serverPort: server.port };
    this.#datapath.maps.httpConnections.delete(key);
    this.#datapath.maps.proxyConnections.delete(key);
  }

  close(): void {
    for (const fd of this.#listeners) closeSocket(fd);
  }

  #asks(way: Way, request: string): boolean {
    const { client, server } = way;
    if (!this.#toPod(way, segment({ seq: clientIsn, flags: tcpFlag.syn, options: { mss: 1460 } })).passed) throw new Error('the SYN does not reach the pod');
    const answer = buildSegment({ ...server, mac: client.mac }, { ...client, mac: server.mac }, segment({ seq: serverIsn, ack: clientIsn + 1, flags: tcpFlag.syn | tcpFlag.ack, options: { mss: 1460 } }));
    const read = this.#run('http_from_pod', answer, 0);
    if (read.verdict !== next) throw new Error(`http_from_pod gave ${read.verdict}`);
    const sent = this.#run('from_pod', read.frame, read.mark);
    if (sent.verdict === shot) throw new Error("the pod's SYN, ACK is dropped");
    const head = Buffer.from(`${request} HTTP/1.1\r\nhost: a\r\n\r\n`);
    const { passed, frame } = this.#toPod(way, segment({ seq: clientIsn + 1, ack: serverIsn + 1, payload: head }));
    const { payload } = readSegment(frame);
    if (passed ? !payload.equals(head) : !payload.toString('latin1').startsWith('HTTP/1.1 403 ')) throw new Error(`${request} ${passed ? 'reaches the pod' : 'is answered'} as ${JSON.stringify(payload.toString('latin1'))}`);
    return passed;
  }

  /** Not `passed`: an answer goes home instead. */
  #toPod({ program, client, server }: Way, s: Segment): { readonly passed: boolean; readonly frame: Uint8Array } {
    const sent = this.#run(program, buildSegment(client, server, s), 0);
    if (sent.verdict !== redirected || sent.mark !== markToReader) throw new Error(`${program} gave ${sent.verdict}, mark ${sent.mark}: not to the reader`);
    const read = this.#run('http_to_pod', sent.frame, sent.mark);
    if (read.verdict === redirected) return { passed: false, frame: read.frame };
    if (read.verdict === ok) return { passed: true, frame: read.frame };
    if (read.verdict !== next) throw new Error(`http_to_pod gave ${read.verdict}`);
    const last = this.#run('to_pod', read.frame, read.mark);
    if (last.verdict === shot) throw new Error('to_pod drops it');
    return { passed: true, frame: last.frame };
  }

  #run(program: string, data: Uint8Array, mark: number): Ran {
    const context = new Uint8Array(192);
    new DataView(context.buffer).setUint32(markOffset, mark, true);
    const { returnValue, data: frame, context: left } = this.#datapath.program(program).testRun({ data, context });
    return { verdict: returnValue, frame, mark: new DataView(left!.buffer, left!.byteOffset).getUint32(markOffset, true) };
  }
}
