import { createHash } from 'node:crypto';
import { formatPrefix, parsePrefix } from '../std/ip.ts';
import { sourceForm } from './layout.ts';
import type { SlotEntry, SourceEntry, SourceKey } from './layout.ts';
import type { Frontend } from './plan.ts';
import { rowFlag } from './rows.ts';
import type { BackendRow, ServiceRow } from './rows.ts';
import { slotChanges, slotRepeats } from './weights.ts';

const none: readonly never[] = [];

/** Something in the maps that the row does not ask for. */
export function hasExcess({ value, slots, table, stickers, sources, row }: Frontend): boolean {
  if (!value) return true;
  if (slots.length > value.count || (table !== '' && value.maglev === 0) || (sources?.size ?? 0) > (row?.sources.length ?? 0)) return true;
  return (stickers?.size ?? 0) > 0 && (value.affinityTimeout === 0 || stickers!.size > new Set(slots).size);
}

/** Ids as the slots are to hold them: a heavier backend more often. */
export function repeated(chosen: readonly BackendRow[], ids: readonly number[]): readonly number[] {
  if (chosen.every(b => b.weight === undefined)) return ids;
  return slotRepeats(chosen.map(b => b.weight ?? 1)).flatMap((times, i) => new Array<number>(times).fill(ids[i]!));
}

export function slotEntries(service: number, slots: readonly number[], wanted: readonly number[]): SlotEntry[] {
  // A new service is the common case of a start: nothing to compare.
  if (slots.length === 0) return wanted.map((backend, slot) => [{ service, slot }, { backend }]);
  return slotChanges(slots, wanted).map(([slot, backend]) => [{ service, slot }, { backend }]);
}

export function sourceEntries({ id, sources }: Frontend, { flags, sources: wanted }: ServiceRow): readonly SourceEntry[] {
  if (wanted.length === 0) return none;
  const form = (flags & rowFlag.sourceDeny) !== 0 ? sourceForm.deny : sourceForm.allow;
  return wanted.filter(text => sources?.get(text) !== form).map(text => [sourceKey(id, text), form]);
}

/** The key of a source begins with the service, all of whose 32 bits count. */
export function sourceKey(service: number, text: string): SourceKey {
  const { addr, bits } = parsePrefix(text);
  return { prefixBits: 32 + bits, service, addr };
}

export function sourceText({ prefixBits, addr }: SourceKey): string {
  return formatPrefix({ addr, bits: prefixBits - 32 });
}

/** 90 bits in the 15 letters that the kernel keeps of a map's name, of all that a table is made of. */
export function tableSignature(tableSize: number, hashSeed: string, chosen: readonly BackendRow[], ids: readonly number[]): string {
  const hash = createHash('sha256').update(`${tableSize} ${hashSeed}`);
  chosen.forEach((b, i) => hash.update(`\n${b.key} ${b.weight ?? 1} ${ids[i]}`));
  return hash.digest('base64').slice(0, 15).replaceAll('+', '_').replaceAll('/', '.');
}
