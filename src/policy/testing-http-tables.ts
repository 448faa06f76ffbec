/** For tests: one request through the tables of the kernel, as bpf/lib/http_reader.h walks them. */
import { httpLayout, httpLimits, mostRows } from './http-rows.ts';
import { longestLine, secondReadingBy, tooDeep } from './http-second-reading.ts';
import type { HttpView } from './l7-match.ts';
import { mayDiffer } from './l7-path.ts';

export interface WalkedRequest {
  readonly method: string;
  /** With its query; empty: none. */
  readonly path: string;
  readonly host: string;
  /** In their order, without white space around the values; a character for a byte. Host is one of them where there is one. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** `rule` is 0 where nothing lets it pass. A path that servers may read in two ways must match in both. */
export function walkHttpTables(tables: Buffer, request: WalkedRequest): { readonly passes: boolean; readonly rule: number } {
  const at = httpLayout;
  const u16 = (place: number) => tables.readUInt16LE(place);
  const columns = u16(at.columns);
  const cell = (index: number) => u16(at.cells + 2 * index);
  const step = (row: number, byte: number) => cell(row + tables[at.classOf + byte]!);
  const maskOf = (row: number) => tables.readBigUInt64LE(at.masks + 8 * cell(row + columns));
  const read = (start: number, text: string) => [...Buffer.from(text, 'latin1')].reduce(step, start);
  const path = request.path === '' ? tables.readBigUInt64LE(at.noPath) : maskOf(read(u16(at.path), request.path));
  const cleaned = () => {
    const row = request.method.length + 1 + request.path.length > longestLine ? tooDeep : secondReadingBy(request.path, u16(at.path), step);
    return typeof row === 'symbol' ? 0n : maskOf(row);
  };
  let holds = maskOf(read(u16(at.method), request.method));
  holds &= request.host === '' ? tables.readBigUInt64LE(at.noHost) : maskOf(read(u16(at.host), request.host));
  const rows = new Map<number, number>();
  for (const [name, value] of request.headers) {
    const place = Number((maskOf(read(u16(at.names), name)) >> 8n) & 0xffn);
    if (place === 0) continue;
    const before = rows.get(place - 1);
    const start = before === undefined ? u16(at.fields + at.fieldSize * (place - 1) + at.fieldStart) : step(before, 44);
    rows.set(place - 1, read(start, value));
  }
  for (let place = 0; place < u16(at.fieldCount); place++) {
    const row = rows.get(place);
    holds &= row === undefined ? tables.readBigUInt64LE(at.fields + at.fieldSize * place + at.fieldAbsent) : maskOf(row);
  }
  const other = mayDiffer(request.path) ? cleaned() & holds : holds;
  holds &= path;
  if (holds === 0n || other === 0n) return { passes: false, rule: 0 };
  let bit = 0;
  while (((holds >> BigInt(bit)) & 1n) === 0n) bit++;
  return { passes: true, rule: tables.readUInt32LE(at.rules + 4 * bit) };
}

/** What the reader takes a field's name for: `enum http_name`, and its place in `fields` or -1. */
export function walkName(tables: Buffer, name: string): { readonly kind: number; readonly field: number } {
  const at = httpLayout;
  let row = tables.readUInt16LE(at.names);
  for (const byte of Buffer.from(name, 'latin1')) row = tables.readUInt16LE(at.cells + 2 * (row + tables[at.classOf + byte]!));
  const mask = Number(tables.readBigUInt64LE(at.masks + 8 * tables.readUInt16LE(at.cells + 2 * (row + tables.readUInt16LE(at.columns)))));
  return { kind: mask & 0xff, field: (mask >> 8) - 1 };
}

/** Rows that automata take, and those that there are with so many classes of bytes. */
export function roomOf(tables: Buffer): { readonly taken: number; readonly all: number } {
  const columns = tables.readUInt16LE(httpLayout.columns);
  const cells = new Uint16Array(tables.buffer, tables.byteOffset + httpLayout.cells, httpLimits.cells);
  const last = cells.findLastIndex(cell => cell !== 0);
  return { taken: Math.floor(last / (columns + 1)), all: mostRows(columns) };
}

/** The same request for the matcher of the proxy. */
export function viewOfWalked({ method, path, host, headers }: WalkedRequest): HttpView {
  const pseudo: Readonly<Record<string, string>> = { ':method': method, ':path': path, ':authority': host };
  return {
    method, path, host,
    header(name) {
      if (pseudo[name] !== undefined) return pseudo[name] === '' ? undefined : pseudo[name];
      const values = headers.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);
      return values.length === 0 ? undefined : values.join(',');
    },
  };
}
