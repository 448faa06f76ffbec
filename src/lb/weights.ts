/** More slots than this for one service are not worth a finer share. */
const maxSlots = 4_096;

/**
 * How often each backend is to stand in the slots of a random choice, for its share to be as its weight: the weights without
 * their common divisor, scaled down where that is still a long list. Every weight above 0 keeps a slot.
 */
export function slotRepeats(weights: readonly number[]): readonly number[] {
  const divisor = weights.reduce(greatestCommonDivisor, 0);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (sum / divisor <= Math.max(maxSlots, weights.length)) return weights.map(weight => weight / divisor);
  return weights.map(weight => Math.max(1, Math.round((weight * maxSlots) / sum)));
}

function greatestCommonDivisor(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b];
  return a;
}

/**
 * The fewest slot writes that make slots 0 … n−1 hold exactly `wanted` (with repetitions): who is in a slot below n stays there,
 * the others fill the gaps. One backend more or less is one write or none, whatever the size of the service.
 */
export function slotChanges(slots: readonly number[], wanted: readonly number[]): (readonly [slot: number, backend: number])[] {
  const missing = new Map<number, number>();
  for (const backend of wanted) missing.set(backend, (missing.get(backend) ?? 0) + 1);
  const gaps: number[] = [];
  for (let slot = 0; slot < wanted.length; slot++) {
    const backend = slots[slot];
    const left = backend === undefined ? undefined : missing.get(backend);
    if (left === undefined) gaps.push(slot);
    else if (left === 1) missing.delete(backend!);
    else missing.set(backend!, left - 1);
  }
  const changes: (readonly [number, number])[] = [];
  for (const [backend, times] of missing) for (let i = 0; i < times; i++) changes.push([gaps[changes.length]!, backend]);
  return changes;
}
