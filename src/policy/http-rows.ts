/** Automata as rows of the one table of `struct http_set` (bpf/lib/http.h). */
import { sharedClasses } from './http-automata.ts';
import type { Automaton } from './http-automata.ts';

/** HTTP_RULES, HTTP_FIELDS, HTTP_MASKS, HTTP_CELLS. */
export const httpLimits = { rules: 64, fields: 16, masks: 1024, cells: 65_536 } as const;

/** Places in `struct http_set`; http-tables.test.ts holds them against the header's own. */
export const httpLayout = {
  columns: 0, method: 2, path: 4, host: 6, names: 8, fieldCount: 10, ruleCount: 12,
  noPath: 16, noHost: 24, fields: 32, fieldSize: 16, fieldStart: 0, fieldAbsent: 8,
  rules: 288, masks: 544, classOf: 8736, cells: 8992, initials: 140_064, asksHost: 140_068, size: 140_072,
} as const;

/** A row has one more cell than columns; row 0 is nobody's. */
export function mostRows(columns: number): number {
  return Math.floor(httpLimits.cells / (columns + 1)) - 1;
}

type Start = 'names' | 'method' | 'path' | 'host';

interface Placed {
  readonly automaton: Automaton;
  /** By state: its row. */
  readonly rows: Int32Array;
  /** Of the table's classes: the automaton's. */
  readonly classes: Uint8Array;
}

export class TableWriter {
  readonly columns: number;
  /** Rows given out, without row 0. */
  rows = 0;
  readonly #classOf: Uint8Array;
  /** Of each class one byte. */
  readonly #bytes: readonly number[];
  readonly #placed: Placed[] = [];
  readonly #masks = new Map<bigint, number>([[0n, 0]]);
  readonly #starts: Partial<Record<Start, number>> = {};
  /** Rows before others, as where a text may not be empty: the row that they are like, and the mask. */
  readonly #copies: { readonly row: number; readonly of: number; readonly mask: bigint }[] = [];
  readonly #absent = { path: 0n, host: 0n };
  /** Of fields' names in lower case: bits by letters of the alphabet, the highest one for all else. */
  #initials = 0;
  #asksHost = false;
  readonly #fields: { readonly start: number; readonly absent: bigint }[] = [];

  /** `leaves`: what all that is added later is a product of. */
  constructor(leaves: readonly Automaton[]) {
    const { classOf, pairs } = sharedClasses(leaves);
    this.#classOf = classOf;
    this.columns = pairs.length;
    this.#bytes = pairs.map((_, column) => classOf.indexOf(column));
  }

  /** Combinations of rules, beside none. */
  get masks(): number {
    return this.#masks.size;
  }

  add(name: Start, automaton: Automaton): void {
    this.#starts[name] = this.#place(automaton);
  }

  /** Where the text is empty, only `absent` hold. */
  addNotEmpty(name: 'path' | 'host', automaton: Automaton, absent: bigint): void {
    this.#absent[name] = absent;
    const start = this.#place(automaton);
    if (name === 'host') this.#asksHost = automaton.masks.length > 1 || automaton.masks[automaton.start] !== absent;
    if (automaton.masks[automaton.start] === absent) {
      this.#starts[name] = start;
      return;
    }
    this.#number(absent);
    const row = this.#row(this.rows++);
    this.#copies.push({ row, of: start, mask: absent });
    this.#starts[name] = row;
  }

  addField(name: string, automaton: Automaton, absent: bigint): void {
    const letter = name.charCodeAt(0) - 97;
    this.#initials |= 1 << (letter >= 0 && letter < 26 ? letter : 31);
    this.#fields.push({ start: this.#place(automaton), absent });
  }

  /** Only where rows and masks are within their limits. */
  write(rules: readonly number[]): Buffer {
    const at = httpLayout;
    const tables = Buffer.alloc(at.size);
    tables.writeUInt16LE(this.columns, at.columns);
    for (const name of ['names', 'method', 'path', 'host'] as const) tables.writeUInt16LE(this.#starts[name]!, at[name]);
    tables.writeUInt16LE(this.#fields.length, at.fieldCount);
    tables.writeUInt16LE(rules.length, at.ruleCount);
    tables.writeBigUInt64LE(this.#absent.path, at.noPath);
    tables.writeBigUInt64LE(this.#absent.host, at.noHost);
    for (const [i, { start, absent }] of this.#fields.entries()) {
      tables.writeUInt16LE(start, at.fields + i * at.fieldSize + at.fieldStart);
      tables.writeBigUInt64LE(absent, at.fields + i * at.fieldSize + at.fieldAbsent);
    }
    for (const [i, rule] of rules.entries()) tables.writeUInt32LE(rule, at.rules + i * 4);
    for (const [mask, number] of this.#masks) tables.writeBigUInt64LE(mask, at.masks + number * 8);
    tables.set(this.#classOf, at.classOf);
    tables.writeInt32LE(this.#initials, at.initials);
    tables.writeUInt32LE(this.#asksHost ? 1 : 0, at.asksHost);
    this.#writeCells(new Uint16Array(tables.buffer, tables.byteOffset + at.cells, httpLimits.cells));
    return tables;
  }

  #writeCells(cells: Uint16Array): void {
    const { columns } = this;
    for (const { automaton: { next, masks, classes: width }, rows, classes } of this.#placed) {
      for (const [state, row] of rows.entries()) {
        if (row === 0) continue;
        for (let column = 0; column < columns; column++) cells[row + column] = rows[next[state * width + classes[column]!]!]!;
        cells[row + columns] = this.#masks.get(masks[state]!)!;
      }
    }
    for (const { row, of, mask } of this.#copies) {
      cells.copyWithin(row, of, of + columns);
      cells[row + columns] = this.#masks.get(mask)!;
    }
  }

  /** The row of its start. Where nothing holds any more is row 0. */
  #place(automaton: Automaton): number {
    const { masks, next, classes, classOf, start } = automaton;
    const rows = Int32Array.from(masks, (mask, state) => {
      this.#number(mask);
      const ends = mask === 0n && next.subarray(state * classes, (state + 1) * classes).every(to => to === state);
      return ends ? 0 : this.#row(this.rows++);
    });
    this.#placed.push({ automaton, rows, classes: Uint8Array.from(this.#bytes, byte => classOf[byte]!) });
    return rows[start]!;
  }

  #row(place: number): number {
    return (place + 1) * (this.columns + 1);
  }

  #number(mask: bigint): void {
    if (!this.#masks.has(mask)) this.#masks.set(mask, this.#masks.size);
  }
}
