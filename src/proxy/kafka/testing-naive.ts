/**
 * Topics of a request, read as a lenient broker would: by hand from the protocol guide, sharing nothing with the decoder that it is to
 * hold. Only of the messages below; undefined for others, and for bytes that no broker could read.
 */
export function naiveTopics(frame: Buffer): readonly string[] | undefined {
  try {
    return read(new Bytes(frame));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Key → the first flexible version. */
const flexibleFrom: Readonly<Record<number, number>> = { 0: 9, 1: 12, 2: 6, 3: 9, 8: 8, 9: 6, 20: 4 };

function read(bytes: Bytes): readonly string[] | undefined {
  bytes.skip(4);
  const key = bytes.number(2);
  const version = bytes.number(2);
  bytes.skip(4);
  const client = bytes.number(2);
  if (client > 0) bytes.skip(client);
  const flexible = version >= (flexibleFrom[key] ?? Infinity);
  if (flexible) bytes.tags();
  switch (key) {
    case 0:
      if (version > 12) return undefined;
      if (version >= 3) bytes.string(flexible);
      bytes.skip(2 + 4);
      return bytes.list(flexible, () => {
        const name = bytes.string(flexible);
        bytes.list(flexible, () => {
          bytes.skip(4);
          const size = bytes.count(flexible, 4);
          if (size > 0) bytes.skip(size);
          if (flexible) bytes.tags();
        });
        if (flexible) bytes.tags();
        return name;
      });
    case 1:
      if (version > 12) return undefined;
      bytes.skip(4 + 4 + 4 + (version >= 3 ? 4 : 0) + (version >= 4 ? 1 : 0) + (version >= 7 ? 8 : 0));
      return bytes.list(flexible, () => {
        const name = bytes.string(flexible);
        bytes.list(flexible, () => {
          bytes.skip(4 + (version >= 9 ? 4 : 0) + 8 + (version >= 12 ? 4 : 0) + (version >= 5 ? 8 : 0) + 4);
          if (flexible) bytes.tags();
        });
        if (flexible) bytes.tags();
        return name;
      });
    case 2:
      bytes.skip(4 + (version >= 2 ? 1 : 0));
      return bytes.list(flexible, () => {
        const name = bytes.string(flexible);
        bytes.list(flexible, () => {
          bytes.skip(4 + (version >= 4 ? 4 : 0) + 8 + (version === 0 ? 4 : 0));
          if (flexible) bytes.tags();
        });
        if (flexible) bytes.tags();
        return name;
      });
    case 3:
      if (version > 9) return undefined;
      return bytes.list(flexible, () => {
        const name = bytes.string(flexible);
        if (flexible) bytes.tags();
        return name;
      });
    case 8:
      bytes.string(flexible);
      if (version >= 1) bytes.skip(4), bytes.string(flexible);
      if (version >= 7) bytes.string(flexible);
      if (version >= 2 && version <= 4) bytes.skip(8);
      return bytes.list(flexible, () => {
        const name = bytes.string(flexible);
        bytes.list(flexible, () => {
          bytes.skip(4 + 8 + (version >= 6 ? 4 : 0) + (version === 1 ? 8 : 0));
          bytes.string(flexible);
          if (flexible) bytes.tags();
        });
        if (flexible) bytes.tags();
        return name;
      });
    case 20:
      return version > 5 ? undefined : bytes.list(flexible, () => bytes.string(flexible));
    default: return undefined;
  }
}

class Bytes {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(count: number): void {
    if (count < 0 || this.#at + count > this.#bytes.length) throw new RangeError('end');
    this.#at += count;
  }

  number(size: 1 | 2 | 4): number {
    this.skip(size);
    return this.#bytes.readIntBE(this.#at - size, size);
  }

  /** Unsigned. */
  varint(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      this.skip(1);
      const byte = this.#bytes[this.#at - 1]!;
      value += (byte % 128) * factor;
      if (byte < 128) return value;
      factor *= 128;
    }
  }

  count(flexible: boolean, size: 2 | 4): number {
    return flexible ? this.varint() - 1 : this.number(size);
  }

  string(flexible: boolean): string {
    const length = this.count(flexible, 2);
    if (length < 0) return '';
    this.skip(length);
    return this.#bytes.subarray(this.#at - length, this.#at).toString('utf8');
  }

  list(flexible: boolean, one: () => string | void): string[] {
    const found: string[] = [];
    const count = this.count(flexible, 4);
    for (let i = 0; i < count; i++) found.push(one() ?? '');
    return found;
  }

  tags(): void {
    const count = this.varint();
    for (let i = 0; i < count; i++) {
      this.varint();
      this.skip(this.varint());
    }
  }
}
