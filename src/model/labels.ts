/**
 * Labels as policy sees them: `source:key=value`. The source says who vouches for a label (`k8s`, `reserved`, `cidr`,
 * `node`, …); selectors may ask for `any` source. A label without a value is written without `=`.
 */
export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
}

export const anySource = 'any';

/** Parses `[source:]key[=value]` as upstream does: `$x` and `reserved.x` are reserved labels, no source is `unspec`. */
export function parseLabel(text: string, defaultSource = 'unspec'): Label {
  const { source, rest } = splitSource(text);
  const equals = rest.indexOf('=');
  if (equals < 0) return { source: source || defaultSource, key: rest, value: '' };
  if (equals === 0 && source === 'reserved') return { source, key: rest.slice(1), value: '' };
  return { source: source || defaultSource, key: rest.slice(0, equals), value: rest.slice(equals + 1) };
}

/** The same for a selector: no source means any source. */
export function parseSelectLabel(text: string): Label {
  return parseLabel(text, anySource);
}

export function formatLabel(label: Label): string {
  return label.value === '' ? `${label.source}:${label.key}` : `${label.source}:${label.key}=${label.value}`;
}

function splitSource(text: string): { source: string; rest: string } {
  if (text.startsWith('$')) return { source: 'reserved', rest: text.slice(1) };
  const colon = text.indexOf(':');
  if (colon >= 0) return { source: text.slice(0, colon), rest: text.slice(colon + 1) };
  if (text.startsWith('reserved.')) return { source: 'reserved', rest: text.slice('reserved.'.length) };
  return { source: '', rest: text };
}

/** An immutable set of labels, at most one value per source and key, with a canonical text that is its identity. */
export class LabelSet {
  /** Canonical texts, sorted. */
  readonly array: readonly string[];
  readonly #values: ReadonlyMap<string, string>;
  #anyValues: Map<string, string[]> | undefined;
  #text: string | undefined;

  private constructor(values: ReadonlyMap<string, string>) {
    this.#values = values;
    this.array = [...values].map(([id, value]) => (value === '' ? id : `${id}=${value}`)).sort();
  }

  static readonly empty: LabelSet = new LabelSet(new Map());

  /** From texts such as `k8s:app=web` or `reserved:host`; a later value of the same source and key replaces the earlier. */
  static of(labels: Iterable<string>): LabelSet {
    return LabelSet.fromLabels([...labels].map(text => parseLabel(text)));
  }

  static fromLabels(labels: Iterable<Label>): LabelSet {
    const values = new Map<string, string>();
    for (const { source, key, value } of labels) values.set(`${source}:${key}`, value);
    return new LabelSet(values);
  }

  has(source: string, key: string): boolean {
    return source === anySource ? this.#byKey().has(key) : this.#values.has(`${source}:${key}`);
  }

  /** The value; for `any`, that of the alphabetically first source. */
  get(source: string, key: string): string | undefined {
    return source === anySource ? this.#byKey().get(key)?.[0] : this.#values.get(`${source}:${key}`);
  }

  /** Every value of the key under the source; more than one only for `any`. */
  all(source: string, key: string): readonly string[] {
    if (source === anySource) return this.#byKey().get(key) ?? none;
    const value = this.#values.get(`${source}:${key}`);
    return value === undefined ? none : [value];
  }

  /** True when some source (or this one) has exactly this value. */
  hasValue(source: string, key: string, value: string): boolean {
    if (source === anySource) return this.#byKey().get(key)?.includes(value) ?? false;
    return this.#values.get(`${source}:${key}`) === value;
  }

  /** The keys of a source. */
  *keysOf(source: string): Generator<string> {
    for (const id of this.#values.keys()) if (id.startsWith(`${source}:`)) yield id.slice(source.length + 1);
  }

  *labels(): Generator<Label> {
    for (const [id, value] of this.#values) {
      const colon = id.indexOf(':');
      yield { source: id.slice(0, colon), key: id.slice(colon + 1), value };
    }
  }

  get size(): number {
    return this.#values.size;
  }

  equals(other: LabelSet): boolean {
    return this.toString() === other.toString();
  }

  /** `k8s:app=web;k8s:io.kubernetes.pod.namespace=shop`: equal sets have equal texts. */
  toString(): string {
    return (this.#text ??= this.array.join(';'));
  }

  #byKey(): Map<string, string[]> {
    if (this.#anyValues) return this.#anyValues;
    const byKey = new Map<string, string[]>();
    for (const [id, value] of [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const key = id.slice(id.indexOf(':') + 1);
      const values = byKey.get(key);
      if (values) values.push(value);
      else byKey.set(key, [value]);
    }
    return (this.#anyValues = byKey);
  }
}

const none: readonly string[] = [];
