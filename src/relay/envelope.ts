/**
 * What the relay reads of an answer that it passes on: GetFlowsResponse and its relatives of the agent and debug events have
 * their time in field 1001 and who tells in field 1000 (observer.proto). The rest, nearly all, is skipped by its length.
 */
export interface Envelope {
  readonly kind: 'flow' | 'node_status' | 'lost_events' | 'other';
  readonly seconds: number;
  readonly nanos: number;
}

const kinds: ReadonlyMap<number, Envelope['kind']> = new Map([[1, 'flow'], [2, 'node_status'], [3, 'lost_events']]);

export class WireError extends Error {
  constructor() {
    super('a message that is not whole protobuf');
    this.name = 'WireError';
  }
}

/** Walks over a message's fields. `length` is that of a length-delimited value, which begins at `at`; else `value` holds it. */
class Fields {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #next: number;
  number = 0;
  at = 0;
  length = 0;
  value = 0;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#next = start;
    this.#end = end;
  }

  /** Throws WireError. */
  step(): boolean {
    if (this.#next >= this.#end) return false;
    const tag = this.#varint();
    this.number = tag >>> 3;
    this.length = 0;
    this.value = 0;
    switch (tag & 7) {
      case 0: this.value = this.#varint(); break;
      case 1: this.#skip(8); break;
      case 2:
        this.length = this.#varint();
        this.#skip(this.length);
        break;
      case 5: this.#skip(4); break;
      default: throw new WireError();
    }
    return true;
  }

  #skip(length: number): void {
    this.at = this.#next;
    this.#next += length;
    if (this.#next > this.#end) throw new WireError();
  }

  /** Exact up to 2^53; a negative int64 becomes a negative number. */
  #varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#next >= this.#end) throw new WireError();
      const byte = this.#bytes[this.#next++]!;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x7f) << 28;
        high = (byte & 0x7f) >>> 4;
      } else if (shift < 64) high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) return (high | 0) * 4_294_967_296 + (low >>> 0);
    }
    throw new WireError();
  }
}

/** Throws WireError for what is no whole message. */
export function readEnvelope(message: Uint8Array): Envelope {
  let kind: Envelope['kind'] = 'other';
  let seconds = 0;
  let nanos = 0;
  const fields = new Fields(message);
  while (fields.step()) {
    if (fields.number < 4) kind = kinds.get(fields.number) ?? kind;
    else if (fields.number === 1001) {
      const time = new Fields(message, fields.at, fields.at + fields.length);
      while (time.step()) {
        if (time.number === 1) seconds = time.value;
        else if (time.number === 2) nanos = time.value;
      }
    }
  }
  return { kind, seconds, nanos };
}

/** The namespaces of the two ends of the flow in a GetFlowsResponse; undefined where there is none. Throws WireError. */
export function endNamespaces(message: Uint8Array): { readonly source: string | undefined; readonly destination: string | undefined } {
  let source: string | undefined;
  let destination: string | undefined;
  const fields = new Fields(message);
  while (fields.step()) {
    if (fields.number !== 1) continue;
    const flow = new Fields(message, fields.at, fields.at + fields.length);
    while (flow.step()) {
      if (flow.number === 8) source = namespaceOf(message, flow) ?? source;
      else if (flow.number === 9) destination = namespaceOf(message, flow) ?? destination;
    }
  }
  return { source, destination };
}

function namespaceOf(message: Uint8Array, end: Fields): string | undefined {
  let namespace: string | undefined;
  const fields = new Fields(message, end.at, end.at + end.length);
  while (fields.step()) if (fields.number === 3) namespace = Buffer.from(message.buffer, message.byteOffset + fields.at, fields.length).toString('utf8');
  return namespace === '' ? undefined : namespace;
}
