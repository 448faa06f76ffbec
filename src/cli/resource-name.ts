import type { Discovery, DiscoveredResource } from '../cluster/discovery.ts';
import { CirriError } from '../std/errors.ts';

/** The kind that a user means by `pods`, `po`, `cnp`, `Deployment`; with a hint when it is a slip of the finger. */
export async function resourceByName(discovery: Discovery, name: string): Promise<DiscoveredResource> {
  const found = await discovery.forName(name);
  if (found) return found;
  const known = (await discovery.all()).flatMap(resource => [resource.plural, resource.singular, ...resource.shortNames]);
  const near = nearest(name.toLowerCase(), known);
  throw new CirriError('ERR_KIND', `the cluster knows no kind "${name}"`, { mend: near === undefined ? 'see what it knows: kubectl api-resources' : `did you mean ${near}?` });
}

/** The known word at the smallest edit distance, if that is at most two. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = 3;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}
