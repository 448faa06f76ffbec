/** Buffers whose address may be given to the kernel inside another structure. */
import { addressOf } from './native.ts';

export interface Stable {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  readonly address: number;
}

/**
 * Zeroed memory at a fixed address for as long as the result is referenced. Over its own ArrayBuffer: V8 keeps small typed
 * arrays inside its moving heap, a backing store never moves.
 */
export function stable(size: number): Stable {
  const buffer = new ArrayBuffer(Math.max(8, size));
  const bytes = new Uint8Array(buffer);
  return { bytes, view: new DataView(buffer), address: addressOf(bytes) };
}

/** A NUL-terminated string at a fixed address. */
export function stableString(text: string): Stable {
  const encoded = Buffer.from(text, 'utf8');
  const memory = stable(encoded.length + 1);
  memory.bytes.set(encoded);
  return memory;
}
