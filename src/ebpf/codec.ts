/**
 * Fixed-size C structs as plain objects. 64-bit integers are bigint; __be16 and __be32 fields are numbers in host order;
 * `__u8[N]` is a Uint8Array of N bytes, `char[N]` a string. Struct codecs are generated from BTF; here are the scalars and
 * what the generated code is made of.
 */
export interface Codec<T> {
  /** In bytes. */
  readonly size: number;
  encode(value: T, into: Uint8Array, offset?: number): void;
  decode(from: Uint8Array, offset?: number): T;
  /** The same over a view, as rings and maps hold one: `at` counts from the view's start. */
  write(view: DataView, at: number, value: T): void;
  read(view: DataView, at: number): T;
}

export function defineCodec<T>(size: number, write: (view: DataView, at: number, value: T) => void, read: (view: DataView, at: number) => T): Codec<T> {
  return {
    size,
    write,
    read,
    encode: (value, into, offset = 0) => {
      checkRoom(into, offset, size);
      write(viewOf(into), into.byteOffset + offset, value);
    },
    decode: (from, offset = 0) => {
      checkRoom(from, offset, size);
      return read(viewOf(from), from.byteOffset + offset);
    },
  };
}

export const u8Codec: Codec<number> = defineCodec(1, (v, at, n) => v.setUint8(at, n), (v, at) => v.getUint8(at));
export const u16Codec: Codec<number> = defineCodec(2, (v, at, n) => v.setUint16(at, n, true), (v, at) => v.getUint16(at, true));
export const u32Codec: Codec<number> = defineCodec(4, (v, at, n) => v.setUint32(at, n, true), (v, at) => v.getUint32(at, true));
export const i32Codec: Codec<number> = defineCodec(4, (v, at, n) => v.setInt32(at, n, true), (v, at) => v.getInt32(at, true));
export const u64Codec: Codec<bigint> = defineCodec(8, (v, at, n) => v.setBigUint64(at, n, true), (v, at) => v.getBigUint64(at, true));
export const i64Codec: Codec<bigint> = defineCodec(8, (v, at, n) => v.setBigInt64(at, n, true), (v, at) => v.getBigInt64(at, true));

/** What a ring buffer has for a key and a value. */
export const emptyCodec: Codec<undefined> = defineCodec(0, () => {}, () => undefined);

/** N bytes as they are. */
export function bytesCodec(size: number): Codec<Uint8Array> {
  return defineCodec(size, (v, at, bytes) => writeBytes(v, at, bytes, size), (v, at) => readBytes(v, at, size));
}

/** Throws RangeError where `bytes` has another length: a short address would leave old bytes in a key. */
export function writeBytes(view: DataView, at: number, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`a field of ${length} bytes was given ${bytes.length}`);
  for (let i = 0; i < length; i++) view.setUint8(at + i, bytes[i]!);
}

export function readBytes(view: DataView, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = view.getUint8(at + i);
  return bytes;
}

/** UTF-8, cut at a whole character so that a NUL always follows. */
export function writeText(view: DataView, at: number, text: string, length: number): void {
  zero(view, at, length);
  new TextEncoder().encodeInto(text, new Uint8Array(view.buffer, view.byteOffset + at, Math.max(0, length - 1)));
}

export function readText(view: DataView, at: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + at, length);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? length : end);
}

/** Padding takes part in a hash map's key, so it is always written. */
export function zero(view: DataView, at: number, length: number): void {
  for (let i = 0; i < length; i++) view.setUint8(at + i, 0);
}

let lastBuffer: ArrayBufferLike | undefined;
let lastView: DataView;

/** A view over the whole buffer behind `bytes`; the last one is kept, for callers use the same scratch again and again. */
function viewOf(bytes: Uint8Array): DataView {
  if (bytes.buffer !== lastBuffer) {
    lastBuffer = bytes.buffer;
    lastView = new DataView(bytes.buffer);
  }
  return lastView;
}

function checkRoom(bytes: Uint8Array, offset: number, size: number): void {
  if (offset < 0 || offset + size > bytes.length) throw new RangeError(`${size} bytes at ${offset} do not fit into ${bytes.length}`);
}
