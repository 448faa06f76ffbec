/** Streams through the kernel's readers of HTTP/1.1 (bpf/programs/http_trial.bpf.c), without packets: one call for one stream, however it is cut. */
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { httpReaderCodec, httpSetCodec } from '../../src/datapath/generated/structs.ts';
import { callBpf, command, setAddress } from '../../src/ebpf/bpf.ts';
import { type Codec, defineCodec } from '../../src/ebpf/codec.ts';
import { BpfMap, type MapSpec } from '../../src/ebpf/map.ts';
import { BpfObject } from '../../src/ebpf/object.ts';
import { type Stable, stable } from '../../src/sys/memory.ts';
import { allBut, objectPath } from './harness.ts';

/** enum http_flag of bpf/lib/http_reader.h. */
export const httpFlag = { isHead: 1, closes: 2, expects: 4, upgrade: 8, upgradeH2c: 16, chunked: 32, hasLength: 64, twoReadings: 128, interim: 256, opened: 512, bodiless: 1024, untilClose: 2048 } as const;

export interface TrialEvent {
  /** `head`: right behind its last byte; `end`: behind a body. */
  readonly kind: 'head' | 'end' | 'fault';
  /** Bytes of the stream before this. */
  readonly at: number;
  readonly flags: number;
  /** Of a fault: enum http_fault. */
  readonly fault: number;
  /** HTTP/1.`minor`. */
  readonly minor: number;
  /** Of the body, where its length is said. */
  readonly length: number;
  /** Bits of the rules that let a request pass; 0: denied. */
  readonly passes: bigint;
  /** Of an answer. */
  readonly status: number;
}

/** A request whose answer is read: without a body, as of HEAD; wanting another protocol than HTTP/2. */
export type Asked = 'plain' | 'head' | 'upgrade';

export interface TrialOptions {
  /** Of requests. */
  readonly set?: number;
  /** Places where the stream is cut, ascending; by default nowhere. */
  readonly cuts?: readonly number[];
  /** Instead: cut behind each of so many bytes. */
  readonly piece?: number;
  /** Stops behind so many heads. */
  readonly heads?: number;
}

/** What flows tell of a head, as far as it was kept, and the lengths of it all. */
export interface Captured {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  readonly traceparent: string;
  readonly lengths: { readonly method: number; readonly target: number; readonly host: number };
}

const kinds = ['head', 'head', 'end', 'fault'] as const;
const inputBytes = 56;
const mostEvents = 256;
const eventsAt = 24;
const eventBytes = 32;
const readerAt = eventsAt + mostEvents * eventBytes;
const mostCuts = 16_384;
const askedBits: Readonly<Record<Asked, number>> = { plain: 0, head: 1, upgrade: 2 };

/** A value as it lies in the map's own memory, until the next look: decoding all of it would take longer than the program. */
const rawCodec = (size: number): Codec<DataView> => defineCodec<DataView>(size, (view, at, value) => {
  new Uint8Array(view.buffer, view.byteOffset + at, size).set(new Uint8Array(value.buffer, value.byteOffset, size));
}, (view, at) => new DataView(view.buffer, view.byteOffset + at, size));

export class HttpTrial {
  readonly #sets = BpfMap.create(specs.httpSets as unknown as MapSpec<number, number>);
  readonly #trials = BpfMap.create({ ...specs.httpTrials, value: rawCodec(specs.httpTrials.value.size) } as MapSpec<number, DataView>);
  readonly #object: BpfObject;
  readonly #input = stable(inputBytes);
  readonly #attributes = stable(80);
  readonly #cuts = stable(4 * mostCuts);
  readonly #asked = stable(mostEvents);
  #stream: Stable = stable(65_536);

  constructor() {
    this.#object = BpfObject.load({ path: objectPath, maps: { httpTrials: this.#trials, httpSets: this.#sets }, skip: allBut(name => name === 'http_trial') });
  }

  /** A set's tables (src/policy/http-tables.ts) under a number. */
  put(number: number, tables: Buffer): void {
    const inner = { ...specs.httpSets.inner!, value: rawCodec(httpSetCodec.size) } as MapSpec<number, DataView>;
    using map = BpfMap.create(inner);
    map.update(0, new DataView(tables.buffer, tables.byteOffset, tables.length));
    this.#sets.update(number, map.fd);
  }

  /** What the reader of requests finds, in order, up to a fault. */
  requests(stream: Buffer, options: TrialOptions): TrialEvent[] {
    return this.#run(stream, options, undefined);
  }

  /** What the reader of answers finds; more answers than were asked for are a fault. */
  answers(stream: Buffer, asked: readonly Asked[], options: TrialOptions = {}): TrialEvent[] {
    return this.#run(stream, options, asked);
  }

  /** Mean nanoseconds of reading one head of at most 256 bytes: a request's under a set, or an answer's to a request without one. */
  headNs(head: Buffer, { set, times, answer }: { readonly set: number; readonly times: number; readonly answer: boolean }): number {
    this.#stream.bytes.set(head);
    const input = this.#input;
    setAddress(input.view, 0, this.#stream);
    [head.length, 0, 0, set, 0, times].forEach((number, i) => input.view.setUint32(16 + 4 * i, number, true));
    input.view.setBigUint64(40, answer ? 1n : 0n, true);
    const startNs = process.hrtime.bigint();
    this.#call();
    const tookNs = Number(process.hrtime.bigint() - startNs);
    const read = this.#trials.lookup(0)!.getUint32(12, true);
    if (read !== times) throw new Error(`${read} of ${times} heads were read`);
    return tookNs / times;
  }

  /** Of the last head of the last stream. */
  captured(): Captured {
    const reader = httpReaderCodec.read(this.#trials.lookup(0)!, readerAt);
    const line = Buffer.from(reader.line.subarray(0, 512)).toString('latin1');
    return {
      method: line.slice(0, reader.methodLength), target: line.slice(reader.methodLength + 1, reader.methodLength + 1 + reader.targetLength),
      host: Buffer.from(reader.host.subarray(0, Math.min(128, reader.hostLength))).toString('latin1'), traceparent: Buffer.from(reader.trace.subarray(0, reader.traceLength)).toString('latin1'),
      lengths: { method: reader.methodLength, target: reader.targetLength, host: reader.hostLength },
    };
  }

  close(): void {
    this.#object.close();
    this.#trials.close();
    this.#sets.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #run(stream: Buffer, { set = 0, cuts = [], piece = 0, heads = 0 }: TrialOptions, asked: readonly Asked[] | undefined): TrialEvent[] {
    if (stream.length > this.#stream.bytes.length) this.#stream = stable(stream.length * 2);
    if (cuts.length > mostCuts) throw new RangeError(`${cuts.length} cuts; there is room for ${mostCuts}`);
    if (asked && asked.length > mostEvents) throw new RangeError(`${asked.length} requests; there is room for ${mostEvents}`);
    this.#stream.bytes.set(stream);
    cuts.forEach((cut, i) => this.#cuts.view.setUint32(4 * i, cut, true));
    asked?.forEach((one, i) => (this.#asked.bytes[i] = askedBits[one]));
    const input = this.#input;
    setAddress(input.view, 0, this.#stream);
    setAddress(input.view, 8, this.#cuts);
    [stream.length, cuts.length, piece, set, heads, 0].forEach((number, i) => input.view.setUint32(16 + 4 * i, number, true));
    if (asked) setAddress(input.view, 40, this.#asked);
    else input.view.setBigUint64(40, 0n);
    input.view.setUint32(48, asked?.length ?? 0, true);
    this.#call();
    const value = this.#trials.lookup(0)!;
    const count = value.getUint32(12, true);
    if (count > mostEvents) throw new RangeError(`${count} events; there is room for ${mostEvents}`);
    return Array.from({ length: count }, (_, i) => readEvent(value, eventsAt + i * eventBytes));
  }

  #call(): void {
    callBpf(command.progTestRun, 80, 'test run of program http_trial', view => {
      view.setUint32(0, this.#object.program('http_trial').fd, true);
      view.setUint32(40, inputBytes, true);
      setAddress(view, 48, this.#input);
    }, this.#attributes);
    if (this.#attributes.view.getInt32(4, true) < 0) throw new Error('http_trial could not read');
  }
}

function readEvent(view: DataView, at: number): TrialEvent {
  return {
    kind: kinds[view.getUint8(at + 24)]!, at: view.getUint32(at + 16, true), flags: view.getUint32(at + 20, true) & 0xffff, fault: view.getUint8(at + 25), minor: view.getUint8(at + 26),
    length: Number(view.getBigUint64(at + 8, true)), passes: view.getBigUint64(at, true), status: view.getUint16(at + 28, true),
  };
}
