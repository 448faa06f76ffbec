/**
 * Selectors found by labels, and labels found by selectors, without a look at all of either.
 *
 *     SelectorIndex:  labels   ──► the keys under which a selector that matches may stand ──► those that do match
 *     LabelIndex:     selector ──► its rarest requirement ──► who meets it ──► who meets all
 */
import { labelKeys } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { EndpointSelector, Requirement } from '../model/selector.ts';

/** Sources are left out of keys: a requirement of `any` source would have to stand under each. */
const pairKey = (key: string, value: string) => `${key}=${value}`;

/**
 * Values by their selectors. A selector in a namespace that asks for a label stands under both together: `app=web` of a
 * thousand namespaces are a thousand keys, not a thousand selectors under one key.
 */
export class SelectorIndex<T> {
  readonly #byKey = new Map<string, Set<T>>();
  /** Those that ask for no label in particular. */
  readonly #others = new Set<T>();
  readonly #selectorOf: (value: T) => EndpointSelector;

  constructor(selectorOf: (value: T) => EndpointSelector) {
    this.#selectorOf = selectorOf;
  }

  add(value: T): void {
    const keys = selectorKeys(this.#selectorOf(value));
    if (!keys) this.#others.add(value);
    for (const key of keys ?? []) insert(this.#byKey, key, value);
  }

  remove(value: T): void {
    this.#others.delete(value);
    for (const key of selectorKeys(this.#selectorOf(value)) ?? []) take(this.#byKey, key, value);
  }

  /** Those whose selectors match, in no particular order. */
  matching(labels: LabelSet): T[] {
    const found = new Set<T>();
    const consider = (values: ReadonlySet<T> | undefined) => {
      for (const value of values ?? []) if (this.#selectorOf(value).matches(labels)) found.add(value);
    };
    const all = [...labels.labels()];
    const namespaces = all.filter(label => label.key === labelKeys.namespace).map(label => label.value);
    for (const { key, value } of all) {
      const pair = pairKey(key, value);
      consider(this.#byKey.get(key));
      consider(this.#byKey.get(pair));
      for (const namespace of namespaces) consider(this.#byKey.get(inNamespace(namespace, pair)));
    }
    consider(this.#others);
    return [...found];
  }
}

const inNamespace = (namespace: string, pair: string) => `${namespace}\n${pair}`;

/** Labels that match bear at least one of these; undefined when the selector asks for none. */
function selectorKeys({ requirements }: EndpointSelector): readonly string[] | undefined {
  const listed = requirements.filter(r => r.operator === 'In').sort((a, b) => a.values.length - b.values.length);
  const namespace = listed.find(r => r.key === labelKeys.namespace && r.values.length === 1)?.values[0];
  const narrow = listed.find(r => r.key !== labelKeys.namespace && r.key !== labelKeys.cluster);
  if (narrow) return narrow.values.map(value => (namespace === undefined ? pairKey(narrow.key, value) : inNamespace(namespace, pairKey(narrow.key, value))));
  const wide = listed.find(r => r.key === labelKeys.namespace) ?? listed[0];
  if (wide) return wide.values.map(value => pairKey(wide.key, value));
  const present = requirements.find(r => r.operator === 'Exists');
  return present && [present.key];
}

/** Values by their labels. */
export class LabelIndex<T> {
  readonly #all = new Set<T>();
  readonly #byLabel = new Map<string, Map<string, Set<T>>>();
  readonly #labelsOf: (value: T) => LabelSet;

  constructor(labelsOf: (value: T) => LabelSet) {
    this.#labelsOf = labelsOf;
  }

  add(value: T): void {
    this.#all.add(value);
    for (const label of this.#labelsOf(value).labels()) {
      const byValue = this.#byLabel.get(label.key) ?? new Map<string, Set<T>>();
      insert(byValue, label.value, value);
      this.#byLabel.set(label.key, byValue);
    }
  }

  remove(value: T): void {
    this.#all.delete(value);
    for (const label of this.#labelsOf(value).labels()) {
      const byValue = this.#byLabel.get(label.key);
      if (!byValue) continue;
      take(byValue, label.value, value);
      if (byValue.size === 0) this.#byLabel.delete(label.key);
    }
  }

  /** Those whose labels the selector matches, each once. */
  *matching(selector: EndpointSelector): Generator<T> {
    let fewest: readonly ReadonlySet<T>[] = [this.#all];
    let size = this.#all.size;
    for (const requirement of selector.requirements) {
      const candidates = this.#meeting(requirement);
      const count = candidates?.reduce((sum, values) => sum + values.size, 0) ?? Infinity;
      if (count < size) [fewest, size] = [candidates!, count];
    }
    // Of two sources the same key may have two values.
    const candidates = fewest.length === 1 ? fewest[0]! : new Set(fewest.flatMap(values => [...values]));
    for (const value of candidates) if (selector.matches(this.#labelsOf(value))) yield value;
  }

  /** Everyone who may meet the requirement; undefined when that cannot be found by a label. */
  #meeting({ operator, key, values }: Requirement): readonly ReadonlySet<T>[] | undefined {
    const byValue = this.#byLabel.get(key);
    if (operator === 'In') return values.map(value => byValue?.get(value)).filter(set => set !== undefined);
    return operator === 'Exists' ? [...(byValue?.values() ?? [])] : undefined;
  }
}

function insert<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const values = index.get(key);
  if (values) values.add(value);
  else index.set(key, new Set([value]));
}

function take<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const values = index.get(key);
  if (values?.delete(value) && values.size === 0) index.delete(key);
}
