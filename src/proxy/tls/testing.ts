/** ClientHellos as bytes, for tests. */

export interface HelloParts {
  readonly serverName?: string | undefined;
  readonly serverNames?: readonly string[];
  readonly alpn?: readonly string[];
  /** The extension of names twice. */
  readonly twice?: boolean;
  /** A byte after the extensions. */
  readonly tail?: boolean;
  /** Values that servers must ignore (RFC 8701). */
  readonly grease?: boolean;
  /** How many bytes of the hello are in each record; the rest is in one more. */
  readonly recordSizes?: readonly number[];
}

export function helloBytes({ serverName, serverNames = serverName === undefined ? [] : [serverName], alpn, twice, tail, grease, recordSizes = [] }: HelloParts): Buffer {
  const name = extension(0, vector(2, ...serverNames.map(text => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(text, 'latin1'))]))));
  const extensions = [
    ...(grease ? [extension(0x0a0a, Buffer.alloc(0))] : []),
    ...(serverNames.length > 0 ? [name] : []), ...(twice ? [name] : []),
    ...(alpn ? [extension(16, vector(2, ...alpn.map(text => vector(1, Buffer.from(text)))))] : []),
    extension(43, Buffer.from([4, 3, 4, 3, 3])),
  ];
  const suites = Buffer.from(grease ? [0x1a, 0x1a, 0x13, 0x01] : [0x13, 0x01]);
  const body = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32, 7), vector(1, Buffer.alloc(32, 9)), vector(2, suites), vector(1, Buffer.from([0])), vector(2, ...extensions), Buffer.alloc(tail ? 1 : 0)]);
  const hello = Buffer.concat([Buffer.from([1, 0, body.length >> 8, body.length & 255]), body]);
  const records: Buffer[] = [];
  let at = 0;
  for (const size of [...recordSizes, Infinity]) {
    const end = Math.min(hello.length, at + size);
    if (end > at) records.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(2, hello.subarray(at, end))]));
    at = end;
  }
  return Buffer.concat(records);
}

function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, data)]);
}

function vector(size: 1 | 2, ...parts: readonly Buffer[]): Buffer {
  const data = Buffer.concat(parts);
  const length = Buffer.alloc(size);
  length.writeUIntBE(data.length, 0, size);
  return Buffer.concat([length, data]);
}
