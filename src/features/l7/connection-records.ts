import { connectionEntry } from '../../model/l7-frame.ts';
import { flag } from '../../flows/columns.ts';
import { layout, minimumSize } from '../../flows/decode.ts';
import { EventType, Protocol } from '../../flows/event.ts';
import type { L7Record } from '../../flows/l7-record.ts';
import { parseAddr } from '../../std/ip.ts';

export const recordWords = minimumSize / 4;
const entryWords = connectionEntry.length / 4;
/** Connections remembered from one frame to the next, by their clients' ports. A power of two. */
const remembered = 256;

/** A connection's records in the kernel's layout, but for time, direction and rule. */
export interface ConnectionRecord {
  readonly request: Int32Array;
  readonly answer: Int32Array;
}

interface Remembered extends ConnectionRecord {
  /** The entry that it was made from, and what the service's key stood for. */
  readonly entry: Int32Array;
  readonly service: L7Record['service'];
}

/** The records of connections as frames name them: made once, for most frames name the ones of before. */
export class ConnectionRecords {
  readonly #remembered = new Array<Remembered | undefined>(remembered).fill(undefined);

  /** Of the entry at `at`, which is there as a whole. */
  of(view: DataView, at: number, service: L7Record['service']): ConnectionRecord {
    const place = view.getUint16(at + connectionEntry.clientPort, true) & (remembered - 1);
    const known = this.#remembered[place];
    if (known !== undefined && known.service === service && isSame(known.entry, view, at)) return known;
    const entry = Int32Array.from({ length: entryWords }, (_, i) => view.getInt32(at + 4 * i, true));
    const made: Remembered = { entry, service, request: recordOf(view, at, service, false), answer: recordOf(view, at, service, true) };
    this.#remembered[place] = made;
    return made;
  }
}

function isSame(entry: Int32Array, view: DataView, at: number): boolean {
  for (let i = 0; i < entryWords; i++) if (entry[i] !== view.getInt32(at + 4 * i, true)) return false;
  return true;
}

function recordOf(view: DataView, at: number, service: L7Record['service'], isAnswer: boolean): Int32Array {
  const words = new Int32Array(recordWords);
  const record = new DataView(words.buffer);
  const bytes = new Uint8Array(words.buffer);
  const { client, clientPort, sourceIdentity, sourceEndpoint, server, serverPort, destinationIdentity, destinationEndpoint } = connectionEntry;
  const end = (isSource: boolean, address: number, port: number, identity: number, endpoint: number) => {
    for (let i = 0; i < 16; i++) bytes[(isSource ? layout.source : layout.destination) + i] = view.getUint8(at + address + i);
    record.setUint16(isSource ? layout.sourcePort : layout.destinationPort, view.getUint16(at + port, true));
    record.setUint32(isSource ? layout.sourceIdentity : layout.destinationIdentity, view.getUint32(at + identity, true), true);
    record.setUint32(isSource ? layout.sourceEndpoint : layout.destinationEndpoint, view.getUint32(at + endpoint, true), true);
  };
  end(!isAnswer, client, clientPort, sourceIdentity, sourceEndpoint);
  end(isAnswer, server, serverPort, destinationIdentity, destinationEndpoint);
  // ::ffff:0:0/96 is IPv4.
  const isIPv4 = words[layout.source / 4] === 0 && words[layout.source / 4 + 1] === 0 && record.getUint32(layout.source + 8) === 0xffff;
  record.setUint8(layout.protocol, Protocol.tcp);
  record.setUint8(layout.type, EventType.l7);
  record.setUint8(layout.flags, (isAnswer ? flag.reply : 0) | (isIPv4 ? 0 : flag.ipv6));
  if (service) {
    bytes.set(parseAddr(service.ip), layout.service);
    record.setUint16(layout.servicePort, service.port);
  }
  return words;
}
