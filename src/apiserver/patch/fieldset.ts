import { isObject } from '../object.ts';
import type { JsonObject } from '../object.ts';

/**
 * A set of fields as a trie. Keys are path elements in the wire form: `f:name` a field, `k:{"name":"x"}` a list item by its
 * keys, `v:"x"` an item of a set. A key can be a member, have fields below it, or both.
 */
export class FieldSet {
  readonly members = new Set<string>();
  readonly children = new Map<string, FieldSet>();

  get isEmpty(): boolean {
    return this.members.size === 0 && this.children.size === 0;
  }

  has(key: string): boolean {
    return this.members.has(key) || this.children.has(key);
  }

  /** The set below a key, made when missing. */
  below(key: string): FieldSet {
    let child = this.children.get(key);
    if (!child) this.children.set(key, (child = new FieldSet()));
    return child;
  }

  /** Attaches what was found below a key, if anything was. */
  attach(key: string, child: FieldSet): void {
    if (!child.isEmpty) this.children.set(key, child);
  }
}

const none = new FieldSet();

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const result = new FieldSet();
  for (const set of [a, b]) for (const key of set.members) result.members.add(key);
  for (const key of new Set([...a.children.keys(), ...b.children.keys()])) {
    const left = a.children.get(key);
    const right = b.children.get(key);
    result.attach(key, left && right ? union(left, right) : (left ?? right)!);
  }
  return result;
}

export function difference(a: FieldSet, b: FieldSet): FieldSet {
  const result = new FieldSet();
  for (const key of a.members) if (!b.members.has(key)) result.members.add(key);
  for (const [key, child] of a.children) {
    const other = b.children.get(key);
    result.attach(key, other ? difference(child, other) : child);
  }
  return result;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result = new FieldSet();
  for (const key of a.members) if (b.members.has(key)) result.members.add(key);
  for (const [key, child] of a.children) {
    const other = b.children.get(key);
    if (other) result.attach(key, intersection(child, other));
  }
  return result;
}

export function equalSets(a: FieldSet, b: FieldSet): boolean {
  return difference(a, b).isEmpty && difference(b, a).isEmpty;
}

export function childOf(set: FieldSet, key: string): FieldSet {
  return set.children.get(key) ?? none;
}

/** The FieldsV1 form: an object whose leaves are empty; `.` says that a key with children is a member too. */
export function toFieldsV1(set: FieldSet): JsonObject {
  const result: JsonObject = {};
  for (const key of [...new Set([...set.members, ...set.children.keys()])].sort()) {
    const child = set.children.get(key);
    result[key] = child ? { ...(set.members.has(key) ? { '.': {} } : {}), ...toFieldsV1(child) } : {};
  }
  return result;
}

export function fromFieldsV1(fields: unknown): FieldSet {
  const set = new FieldSet();
  if (!isObject(fields)) return set;
  for (const [key, value] of Object.entries(fields)) {
    if (key === '.') continue;
    const below = isObject(value) ? value : {};
    const names = Object.keys(below);
    if (names.length === 0 || names.includes('.')) set.members.add(key);
    set.attach(key, fromFieldsV1(below));
  }
  return set;
}

/** Every member as a path that people read: `.spec.template.spec.containers[name="web"].image`. */
export function memberPaths(set: FieldSet, prefix = ''): string[] {
  return [
    ...[...set.members].map(key => prefix + elementText(key)),
    ...[...set.children].flatMap(([key, child]) => memberPaths(child, prefix + elementText(key))),
  ];
}

function elementText(key: string): string {
  const rest = key.slice(2);
  switch (key[0]) {
    case 'f': return `.${rest}`;
    case 'k': return `[${Object.entries(JSON.parse(rest) as JsonObject).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
    case 'v': return `[=${rest}]`;
    default: return `[${rest}]`;
  }
}
