import { answerEntry, connectionEntry, entry, exchangeEntry, frameDirections, frameProtocols, frameVerdicts, requestEntry } from '../../model/l7-frame.ts';
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

interface Told {
  readonly ends: RecordEnds;
  readonly opinions: readonly { readonly verdict: L7Record['verdict']; readonly direction: L7Record['direction']; readonly rule: number }[];
  readonly http: { readonly method: string; readonly url: string; readonly protocol: string };
  readonly traceId: string | undefined;
}

/** The records of a frame's entries (model/l7-frame.ts), in their order. Throws what is no frame of a worker's, when it has come so far. */
export function readFrame(frame: Buffer, service: (key: number) => L7Record['service'], take: (record: L7Record) => void): void {
  const connections = new Map<number, RecordEnds>();
  const requests = new Map<number, Told>();
  const known = <T>(from: Map<number, T>, at: number): T => from.get(at) ?? refuse(`nothing at ${at} that could be referred to`);
  const request = (at: number, texts: number): { readonly told: Told; readonly next: number } => {
    const opinions = Array.from({ length: frame.readUInt8(at + requestEntry.opinions) }, (_, i) => opinionAt(frame, at + requestEntry.opinion + i * requestEntry.opinionLength));
    if (at + requestEntry.opinion + opinions.length * requestEntry.opinionLength > at + requestEntry.texts) refuse(`${opinions.length} opinions`);
    let end = at + texts;
    const text = (length: number): string => {
      if (end + length > frame.length) refuse('a text that ends behind the frame');
      return frame.toString('latin1', end, (end += length));
    };
    const [method, origin, path] = [text(frame.readUInt8(at + requestEntry.methodLength)), text(frame.readUInt16LE(at + requestEntry.originLength)), text(frame.readUInt16LE(at + requestEntry.pathLength))];
    const traceId = text(frame.readUInt8(at + requestEntry.traceLength)) || undefined;
    const protocol = frameProtocols[frame.readUInt8(at + requestEntry.protocol)] ?? refuse('a protocol without a name');
    return { told: { ends: known(connections, frame.readUInt32LE(at + requestEntry.connection)), opinions, http: { method, url: origin + path, protocol }, traceId }, next: end };
  };
  for (let at = 0; at < frame.length; ) {
    switch (frame[at]) {
      case entry.connection:
        connections.set(at, endsAt(frame, at, service));
        at += connectionEntry.length;
        break;
      case entry.request: {
        const { told, next } = request(at, requestEntry.texts);
        requests.set(at, told);
        const timeNs = nanoseconds(frame.readDoubleLE(at + requestEntry.time));
        for (const { verdict, direction, rule } of told.opinions) take(recordOf(told.ends, { timeNs, verdict, direction, rule, l7: { type: 'REQUEST', http: told.http }, traceId: told.traceId }));
        at = next;
        break;
      }
      case entry.answer:
        answered(known(requests, frame.readUInt32LE(at + answerEntry.request)), frame.readUInt16LE(at + answerEntry.status), frame.readDoubleLE(at + answerEntry.latencyNs), frame.readDoubleLE(at + answerEntry.time), take);
        at += answerEntry.length;
        break;
      case entry.exchange: {
        const { told, next } = request(at, exchangeEntry.texts);
        answered(told, frame.readUInt16LE(at + exchangeEntry.status), frame.readDoubleLE(at + exchangeEntry.latencyNs), frame.readDoubleLE(at + requestEntry.time), take);
        at = next;
        break;
      }
      default: refuse(`an entry of kind ${frame[at]}`);
    }
  }
}

/** As the pipeline takes it: an answer comes from the server. */
export function recordOf({ client, server, service }: RecordEnds, { traceId, ...record }: Pick<L7Record, 'timeNs' | 'verdict' | 'direction' | 'rule' | 'l7'> & { readonly traceId: string | undefined }): L7Record {
  const isAnswer = record.l7.type === 'RESPONSE';
  return {
    ...record, source: isAnswer ? server : client, destination: isAnswer ? client : server, protocol: 'TCP',
    ...(traceId !== undefined && { traceId }), ...(service && { service }),
  };
}

function answered({ ends, opinions, http, traceId }: Told, code: number, latencyNs: number, timeUs: number, take: (record: L7Record) => void): void {
  const timeNs = nanoseconds(timeUs);
  for (const { direction, rule } of opinions) take(recordOf(ends, { timeNs, verdict: 'FORWARDED', direction, rule, l7: { type: 'RESPONSE', latencyNs, http: { code, ...http } }, traceId }));
}

function opinionAt(frame: Buffer, at: number): Told['opinions'][number] {
  return {
    verdict: frameVerdicts[frame.readUInt8(at)] ?? refuse('a verdict without a name'),
    direction: frameDirections[frame.readUInt8(at + 1)] ?? refuse('a direction without a name'),
    rule: frame.readUInt32LE(at + 4),
  };
}

function endsAt(frame: Buffer, at: number, service: (key: number) => L7Record['service']): RecordEnds {
  const key = frame.readUInt32LE(at + connectionEntry.service);
  const end = (address: number, port: number, identity: number, endpoint: number): L7End => ({
    ip: formatAddr(frame.subarray(at + address, at + address + 16)), port: frame.readUInt16LE(at + port), identity: frame.readUInt32LE(at + identity), endpoint: frame.readUInt32LE(at + endpoint),
  });
  const { client, clientPort, sourceIdentity, sourceEndpoint, server, serverPort, destinationIdentity, destinationEndpoint } = connectionEntry;
  if (at + connectionEntry.length > frame.length) refuse('a connection that ends behind the frame');
  return {
    client: end(client, clientPort, sourceIdentity, sourceEndpoint), server: end(server, serverPort, destinationIdentity, destinationEndpoint),
    service: key === 0 ? undefined : service(key),
  };
}

const nanoseconds = (us: number): bigint => BigInt(Math.floor(us)) * 1000n;

function refuse(what: string): never {
  throw new CirriError('ERR_L7_FRAME', `a frame of the proxy has ${what}`);
}
