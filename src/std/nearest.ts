/** Of the names, the one that was most likely meant: at most a third of its letters differ, whatever their case. */
export function nearestName(asked: string, names: Iterable<string>): string | undefined {
  const wanted = asked.toLowerCase();
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const name of names) {
    const allowed = Math.min(bestDistance - 1, Math.max(1, Math.floor(name.length / 3)));
    const distance = editDistance(wanted, name.toLowerCase(), allowed);
    if (distance <= allowed) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance; more than `limit` is only known to be more. */
function editDistance(from: string, to: string, limit: number): number {
  if (Math.abs(from.length - to.length) > limit) return limit + 1;
  let row = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[to.length]!;
}
