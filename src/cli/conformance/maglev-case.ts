import { maglevTable } from '../../lb/maglev.ts';
import { outcome, type Outcome } from '../../policy/conformance/case.ts';

/** Kind `maglev-table`: who stands where, in runs of equal backends: `2(5),3(1)`. */
export interface MaglevTableCase {
  readonly input: {
    readonly table_size: number;
    readonly hash_seed: string;
    readonly backends: readonly { readonly address: string; readonly port: number; readonly protocol: string; readonly weight: number; readonly id: number }[];
  };
  readonly expect: { readonly run_length_ids: string };
}

/** Bit by bit: names are hashed as upstream does. */
export function runMaglevTable({ input, expect }: MaglevTableCase): Outcome {
  const backends = input.backends.map(b => ({ name: `${b.address}:${b.port}/${b.protocol}`, weight: b.weight }));
  const table = Array.from(maglevTable(backends, { tableSize: input.table_size, hashSeed: input.hash_seed }), i => input.backends[i]!.id);
  const found = runs(table);
  if (found === expect.run_length_ids) return outcome(input.table_size);
  const at = [...found].findIndex((letter, i) => letter !== expect.run_length_ids[i]);
  return outcome(0, [`expected ${expect.run_length_ids.slice(at, at + 40)}… at letter ${at}, found ${found.slice(at, at + 40)}…`]);
}

function runs(table: readonly number[]): string {
  const texts: string[] = [];
  for (let from = 0; from < table.length; ) {
    let to = from;
    while (table[to] === table[from]) to++;
    texts.push(`${table[from]}(${to - from})`);
    from = to;
  }
  return texts.join(',');
}
