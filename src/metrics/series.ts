import { overflowValue, type LabelNode } from './context.ts';

/** A time series of a family. */
export interface Exemplar {
  readonly labels: string;
  readonly value: number;
  /** Seconds since 1970. */
  readonly time: number;
}

export class CounterSeries {
  value = 0;
  exemplar: Exemplar | undefined = undefined;
  /** Taken away: whoever still knows it makes another. */
  gone = false;
  /** `a="b",c="d"`, names in the order of the alphabet, as upstream's. */
  readonly labels: string;

  constructor(labels: string) {
    this.labels = labels;
  }
}

export class HistogramSeries {
  count = 0;
  sum = 0;
  gone = false;
  readonly labels: string;
  readonly bounds: readonly number[];
  /** One more than bounds: what is over all of them. Not cumulative. */
  readonly buckets: number[];
  readonly exemplars: (Exemplar | undefined)[];

  constructor(labels: string, bounds: readonly number[]) {
    this.labels = labels;
    this.bounds = bounds;
    this.buckets = Array.from({ length: bounds.length + 1 }, () => 0);
    this.exemplars = Array.from({ length: bounds.length + 1 }, () => undefined);
  }

  observe(value: number, exemplar?: Exemplar): void {
    let at = 0;
    while (at < this.bounds.length && value > this.bounds[at]!) at++;
    this.buckets[at]!++;
    this.sum += value;
    this.count++;
    if (exemplar) this.exemplars[at] = exemplar;
  }
}

export interface FamilyOptions {
  readonly name: string;
  readonly help: string;
  /** Its own labels; those of the context follow. */
  readonly labels: readonly string[];
  readonly contextNames: readonly string[];
  /** Series at most; what would be more is counted in one series whose labels all are `overflow`. */
  readonly limit: number;
}

type Level<S> = Map<string, Level<S> | S>;

let families = 0;

/**
 * All series of one metric. They hang on the node of the context labels, below it by their own labels: finding one is a map
 * look-up for each label, and nothing is made. Nodes are interned, so a series that is not found there does not exist.
 */
export class Family<S extends { gone: boolean; readonly labels: string }> {
  readonly options: FamilyOptions;
  /** Events that went to the overflow series. */
  overflowed = 0;
  readonly #make: (labels: string) => S;
  readonly #slot = families++;
  readonly #series = new Set<S>();
  readonly #order: readonly (readonly [name: string, index: number])[];
  #overflow: S | undefined;

  constructor(options: FamilyOptions, make: (labels: string) => S) {
    this.options = options;
    this.#make = make;
    this.#order = [...options.labels, ...options.contextNames].map((name, index) => [name, index] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  /** The series of these values, in the order of `options.labels`. */
  at1(node: LabelNode, a: string): S {
    const root = node.slots[this.#slot] as Level<S> | undefined;
    const found = root?.get(a) as S | undefined;
    return found !== undefined && !found.gone ? found : this.#add(node, [a]);
  }

  at2(node: LabelNode, a: string, b: string): S {
    const root = node.slots[this.#slot] as Level<S> | undefined;
    const found = (root?.get(a) as Level<S> | undefined)?.get(b) as S | undefined;
    return found !== undefined && !found.gone ? found : this.#add(node, [a, b]);
  }

  at3(node: LabelNode, a: string, b: string, c: string): S {
    const root = node.slots[this.#slot] as Level<S> | undefined;
    const found = ((root?.get(a) as Level<S> | undefined)?.get(b) as Level<S> | undefined)?.get(c) as S | undefined;
    return found !== undefined && !found.gone ? found : this.#add(node, [a, b, c]);
  }

  at4(node: LabelNode, a: string, b: string, c: string, d: string): S {
    const root = node.slots[this.#slot] as Level<S> | undefined;
    const third = ((root?.get(a) as Level<S> | undefined)?.get(b) as Level<S> | undefined)?.get(c) as Level<S> | undefined;
    const found = third?.get(d) as S | undefined;
    return found !== undefined && !found.gone ? found : this.#add(node, [a, b, c, d]);
  }

  /** The overflow series last. */
  *series(): Iterable<S> {
    yield* this.#series;
    if (this.#overflow) yield this.#overflow;
  }

  get size(): number {
    return this.#series.size;
  }

  /** Takes away what hangs on a node. */
  forget(node: LabelNode): void {
    const walk = (level: Level<S> | S | undefined): void => {
      if (level instanceof Map) for (const below of level.values()) walk(below);
      else if (level !== undefined) {
        level.gone = true;
        this.#series.delete(level);
      }
    };
    walk(node.slots[this.#slot] as Level<S> | undefined);
    node.slots[this.#slot] = undefined;
  }

  #add(node: LabelNode, values: readonly string[]): S {
    if (node.overflow || this.#series.size >= this.options.limit) {
      this.overflowed++;
      return (this.#overflow ??= this.#make(this.#render(this.#order.map(() => overflowValue), [])));
    }
    let level = (node.slots[this.#slot] ??= new Map()) as Level<S>;
    for (const value of values.slice(0, -1)) {
      let next = level.get(value) as Level<S> | undefined;
      if (!next) level.set(value, next = new Map());
      level = next;
    }
    const series = this.#make(this.#render(values, node.values));
    level.set(values.at(-1)!, series);
    this.#series.add(series);
    return series;
  }

  #render(own: readonly string[], context: readonly string[]): string {
    const values = [...own, ...context];
    return this.#order.map(([name, index]) => `${name}="${escapeLabel(values[index] ?? '')}"`).join(',');
  }
}

export class CounterFamily extends Family<CounterSeries> {
  readonly type = 'counter';

  constructor(options: FamilyOptions) {
    super(options, labels => new CounterSeries(labels));
  }
}

/** client_golang's DefBuckets, seconds. */
export const defaultBuckets: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class HistogramFamily extends Family<HistogramSeries> {
  readonly type = 'histogram';

  constructor(options: FamilyOptions, bounds: readonly number[] = defaultBuckets) {
    super(options, labels => new HistogramSeries(labels, bounds));
  }
}

/** Exposition formats: backslash, quote and line feed are escaped in label values. */
export function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n') : value;
}
