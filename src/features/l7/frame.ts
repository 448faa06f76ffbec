import { answerEntry, connectionEntry, entry, exchangeEntry, frameDirections, frameProtocols, frameVerdicts, requestEntry } from '../../model/l7-frame.ts';
import type { FlowL7 } from '../../model/flow.ts';
import type { L7End, L7Record } from '../../flows/l7-record.ts';
import { CirriError } from '../../std/errors.ts';
import { formatAddr } from '../../std/ip.ts';

/** What the records of a connection have in common. */
export interface RecordEnds {
  readonly client: L7End;
  readonly server: L7End;
  /** What the client asked for, where a service was translated. */
  readonly service: L7Record['service'];
}

type Decided = Pick<L7Record, 'verdict' | 'direction' | 'rule'>;

interface Told {
  readonly ends: RecordEnds;
  readonly opinions: readonly Decided[];
  readonly method: string;
  readonly url: string;
  readonly protocol: string;
  readonly traceId: string | undefined;
  /** The entry behind it. */
  readonly next: number;
}

/** The records of a frame's entries (model/l7-frame.ts), in their order. Throws at what is no frame of a worker's, when those before it have been taken. */
export function readFrame(frame: Buffer, service: (key: number) => L7Record['service'], take: (record: L7Record) => void): void {
  new FrameReader(frame, service, take).read();
}

/** As the pipeline takes it: an answer comes from the server. */
export function recordOf({ client, server, service }: RecordEnds, timeNs: bigint, { verdict, direction, rule }: Decided, l7: FlowL7, traceId: string | undefined): L7Record {
  const isAnswer = l7.type === 'RESPONSE';
  const [source, destination] = isAnswer ? [server, client] : [client, server];
  if (traceId === undefined) return service === undefined ? { timeNs, source, destination, protocol: 'TCP', direction, verdict, rule, l7 } : { timeNs, source, destination, protocol: 'TCP', direction, verdict, rule, l7, service };
  return { timeNs, source, destination, protocol: 'TCP', direction, verdict, rule, l7, traceId, ...(service && { service }) };
}

class FrameReader {
  readonly #frame: Buffer;
  readonly #view: DataView;
  readonly #service: (key: number) => L7Record['service'];
  readonly #take: (record: L7Record) => void;
  readonly #connections = new Map<number, RecordEnds>();
  readonly #requests = new Map<number, Told>();

  constructor(frame: Buffer, service: (key: number) => L7Record['service'], take: (record: L7Record) => void) {
    this.#frame = frame;
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    this.#service = service;
    this.#take = take;
  }

  read(): void {
    for (let at = 0; at < this.#frame.length; ) at = this.#entry(at);
  }

  /** The place behind it. */
  #entry(at: number): number {
    switch (this.#frame[at]) {
      case entry.connection:
        this.#connections.set(at, this.#ends(at));
        return at + connectionEntry.length;
      case entry.request: {
        const told = this.#request(at, requestEntry.texts);
        const { ends, opinions, method, url, protocol, traceId } = told;
        this.#requests.set(at, told);
        const timeNs = this.#timeNs(at + requestEntry.time);
        for (let i = 0; i < opinions.length; i++) this.#take(recordOf(ends, timeNs, opinions[i]!, { type: 'REQUEST', http: { method, url, protocol } }, traceId));
        return told.next;
      }
      case entry.answer: {
        const told = this.#requests.get(this.#view.getUint32(at + answerEntry.request, true)) ?? refuse('the answer to no request of its own');
        this.#answered(told, at, answerEntry.status, answerEntry.latencyNs, answerEntry.time);
        return at + answerEntry.length;
      }
      case entry.exchange: {
        const told = this.#request(at, exchangeEntry.texts);
        this.#answered(told, at, exchangeEntry.status, exchangeEntry.latencyNs, requestEntry.time);
        return told.next;
      }
      default: return refuse(`an entry of kind ${this.#frame[at]}`);
    }
  }

  #request(at: number, texts: number): Told {
    const view = this.#view;
    const ends = this.#connections.get(view.getUint32(at + requestEntry.connection, true)) ?? refuse('a request without its connection');
    const count = view.getUint8(at + requestEntry.opinions);
    if (requestEntry.opinion + count * requestEntry.opinionLength > requestEntry.texts) refuse(`${count} opinions`);
    const opinions: Decided[] = [];
    for (let i = 0; i < count; i++) opinions.push(this.#opinion(at + requestEntry.opinion + i * requestEntry.opinionLength));
    const protocol = frameProtocols[view.getUint8(at + requestEntry.protocol)] ?? refuse('a protocol without a name');
    const method = at + texts;
    const origin = method + view.getUint8(at + requestEntry.methodLength);
    // Origin and path are neighbours: together they are the URL.
    const trace = origin + view.getUint16(at + requestEntry.originLength, true) + view.getUint16(at + requestEntry.pathLength, true);
    const next = trace + view.getUint8(at + requestEntry.traceLength);
    if (next > this.#frame.length) refuse('texts that end behind it');
    return { ends, opinions, method: this.#text(method, origin), url: this.#text(origin, trace), protocol, traceId: next === trace ? undefined : this.#text(trace, next), next };
  }

  #answered({ ends, opinions, method, url, protocol, traceId }: Told, at: number, status: number, latencyNs: number, time: number): void {
    const timeNs = this.#timeNs(at + time);
    const l7: FlowL7 = { type: 'RESPONSE', latencyNs: this.#view.getFloat64(at + latencyNs, true), http: { code: this.#view.getUint16(at + status, true), method, url, protocol } };
    for (let i = 0; i < opinions.length; i++) this.#take(recordOf(ends, timeNs, { verdict: 'FORWARDED', direction: opinions[i]!.direction, rule: opinions[i]!.rule }, l7, traceId));
  }

  #opinion(at: number): Decided {
    const view = this.#view;
    return {
      verdict: frameVerdicts[view.getUint8(at)] ?? refuse('a verdict without a name'),
      direction: frameDirections[view.getUint8(at + 1)] ?? refuse('a direction without a name'),
      rule: view.getUint32(at + 4, true),
    };
  }

  #ends(at: number): RecordEnds {
    const { client, clientPort, sourceIdentity, sourceEndpoint, server, serverPort, destinationIdentity, destinationEndpoint, service } = connectionEntry;
    if (at + connectionEntry.length > this.#frame.length) refuse('a connection that ends behind it');
    const view = this.#view;
    const end = (address: number, port: number, identity: number, endpoint: number): L7End => ({
      ip: formatAddr(this.#frame.subarray(at + address, at + address + 16)), port: view.getUint16(at + port, true), identity: view.getUint32(at + identity, true), endpoint: view.getUint32(at + endpoint, true),
    });
    const key = view.getUint32(at + service, true);
    return {
      client: end(client, clientPort, sourceIdentity, sourceEndpoint), server: end(server, serverPort, destinationIdentity, destinationEndpoint),
      service: key === 0 ? undefined : this.#service(key),
    };
  }

  #text(start: number, end: number): string {
    return this.#frame.toString('latin1', start, end);
  }

  /** A time that no clock shows is refused as a RangeError. */
  #timeNs(at: number): bigint {
    return BigInt(Math.floor(this.#view.getFloat64(at, true))) * 1000n;
  }
}

function refuse(what: string): never {
  throw new CirriError('ERR_L7_FRAME', `a frame of the proxy has ${what}`);
}
