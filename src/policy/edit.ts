/** Small changes of objects as they were written: a path of the object, and what is added or removed there. */

export interface Edit {
  readonly op: 'add' | 'remove';
  /** `spec.ingress[0].toPorts[0].ports[-]`: `[-]` is after the last; what is added at a number goes before the one there. */
  readonly path: string;
  readonly value?: unknown;
}

export type Steps = readonly (string | number)[];

/** `spec.ports[0]`, `matchLabels[a.b/c]` → the steps of the path. */
export function pathSteps(path: string): Steps {
  const steps: (string | number)[] = [];
  for (const [, dotted, bracketed] of path.matchAll(/([^.[\]]+)|\[([^\]]*)\]/g)) {
    if (dotted !== undefined) steps.push(dotted);
    else if (bracketed !== undefined) steps.push(/^\d+$/.test(bracketed) ? Number(bracketed) : bracketed);
  }
  return steps;
}

export function valueAt(object: unknown, path: string): unknown {
  return pathSteps(path).reduce<unknown>((at, step) => (typeof at === 'object' && at !== null ? (at as Record<string | number, unknown>)[step] : undefined), object);
}

/** A changed copy. What is missing on the way is made. Parts that were one object (anchors of YAML) are copies of their own. */
export function applyEdits<T>(object: T, edits: readonly Edit[]): T {
  const copy = JSON.parse(JSON.stringify(object)) as T;
  for (const edit of edits) applyEdit(copy as Record<string, unknown>, edit);
  return copy;
}

function applyEdit(object: Record<string, unknown>, edit: Edit): void {
  const steps = pathSteps(edit.path);
  let at: unknown = object;
  for (const [i, step] of steps.slice(0, -1).entries()) {
    const holder = at as Record<string | number, unknown>;
    if (holder[step] === undefined || holder[step] === null) holder[step] = steps[i + 1] === '-' || typeof steps[i + 1] === 'number' ? [] : {};
    at = holder[step];
  }
  const last = steps.at(-1)!;
  if (edit.op === 'remove') {
    if (Array.isArray(at)) at.splice(Number(last), 1);
    else delete (at as Record<string, unknown>)[last];
  } else if (Array.isArray(at)) at.splice(typeof last === 'number' ? last : at.length, 0, structuredClone(edit.value));
  else (at as Record<string, unknown>)[last] = structuredClone(edit.value);
}

/** RFC 6902, for `kubectl patch --type json`. */
export function jsonPatch(edits: readonly Edit[]): readonly { readonly op: string; readonly path: string; readonly value?: unknown }[] {
  return edits.map(({ op, path, value }) => ({
    op, path: pathSteps(path).map(step => `/${String(step).replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''), ...(op === 'add' && { value }),
  }));
}

/** The list entry that a rule's path lies in: `spec.ingress[0]` of `spec.ingress[0].toPorts[1]`. */
export function entryPath(rulePath: string): string {
  return /^.*?(?:ingress|egress)(?:Deny)?\[\d+\]/.exec(rulePath)?.[0] ?? rulePath;
}
