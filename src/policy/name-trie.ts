import { matchPatternFault, qualifyName } from './fqdn.ts';

/** The column of `struct name_state` for the end of a label. */
export const endOfLabel = 38;

/** Nodes that the letters read so far can have led to; sorted, each once. */
export type TrieSet = readonly number[];

/**
 * Patterns of names, from the first letter on, those with the same beginning together. Beside the letters there are three
 * things to follow: any run of letters (`*`), a whole label of at least one letter (a first label `*`), and labels of any
 * number from one up (a first label `**`).
 *
 *     root ─ a ─ p ─ i ─ end ─ …        api.…
 *      ├─ label┄ end ─ …                *.…
 *      ├─ labels┄ end ─ …               **.…   and from this end back into labels
 *      └┄ run ─ …                       *a.…   entered without a letter
 */
export class NameTrie {
  readonly #symbol: number[] = [];
  readonly #child: number[] = [];
  readonly #sibling: number[] = [];
  /** The node of a run that begins here, 0 for none. */
  readonly #run: number[] = [];
  /** Where any letter leads. */
  readonly #letter: (number[] | undefined)[] = [];
  readonly #patterns: (string[] | undefined)[] = [];
  readonly #root: number;
  #firstLabel = 0;
  #firstLabels = 0;

  constructor() {
    this.#node(-1); // 0 is none.
    this.#root = this.#node(-1);
  }

  /** False, with nothing accepted, when there could be more nodes than these, or for what is no pattern. */
  add(pattern: string, maxNodes: number): boolean {
    const text = pattern.toLowerCase();
    if (this.#symbol.length + text.length + 3 > maxNodes || matchPatternFault(text)) return false;
    if (/^\*+$/.test(text)) {
      this.#accept(this.#root, pattern);
      this.#accept(this.#labels(), pattern);
      return true;
    }
    const qualified = qualifyName(text);
    // The root's name has no labels, not an empty one.
    const [first, ...rest] = qualified === '.' ? [] : qualified.slice(0, -1).split('.');
    let at = this.#root;
    if (first !== undefined) at = first === '*' ? this.#label() : /^\*+$/.test(first) ? this.#labels() : this.#text(at, first);
    for (const label of rest) at = this.#text(at, label);
    this.#accept(at, pattern);
    return true;
  }

  start(): TrieSet {
    return this.#closed([this.#root]);
  }

  /** Where any letter leads from these nodes, and for those columns that lead elsewhere, where to. */
  step(set: TrieSet): { readonly always: TrieSet; readonly steps: ReadonlyMap<number, TrieSet> } {
    const always: number[] = [];
    const special = new Map<number, number[]>();
    for (const node of set) {
      if (this.#letter[node]) always.push(...this.#letter[node]);
      for (let child = this.#child[node]!; child; child = this.#sibling[child]!) {
        const nodes = special.get(this.#symbol[child]!);
        if (nodes) nodes.push(child);
        else special.set(this.#symbol[child]!, [child]);
      }
    }
    const steps = new Map<number, TrieSet>();
    for (const [column, nodes] of special) steps.set(column, this.#closed(column === endOfLabel ? nodes : [...always, ...nodes]));
    return { always: this.#closed(always), steps };
  }

  /** Sorted. */
  accepted(set: TrieSet): readonly string[] {
    return set.flatMap(node => this.#patterns[node] ?? []).sort();
  }

  #closed(nodes: readonly number[]): TrieSet {
    const all = new Set(nodes);
    for (const node of all) if (this.#run[node]) all.add(this.#run[node]!);
    return [...all].sort((a, b) => a - b);
  }

  /** A whole label and its end. */
  #text(from: number, label: string): number {
    let at = from;
    for (const letter of label.replace(/\*+/g, '*')) at = letter === '*' ? this.#runFrom(at) : this.#edge(at, columnOf(letter));
    return this.#edge(at, endOfLabel);
  }

  #runFrom(node: number): number {
    if (!this.#run[node]) {
      const run = this.#node(-1);
      this.#letter[run] = [run];
      this.#run[node] = run;
    }
    return this.#run[node]!;
  }

  /** Behind a first label of at least one letter. */
  #label(): number {
    if (!this.#firstLabel) this.#firstLabel = this.#edge(this.#letters(this.#root), endOfLabel);
    return this.#firstLabel;
  }

  /** Behind any number of labels from one up. */
  #labels(): number {
    if (!this.#firstLabels) {
      const letters = this.#letters(this.#root);
      this.#firstLabels = this.#edge(letters, endOfLabel);
      this.#letter[this.#firstLabels] = [letters];
    }
    return this.#firstLabels;
  }

  /** One letter at least. */
  #letters(from: number): number {
    const letters = this.#node(-1);
    this.#letter[letters] = [letters];
    (this.#letter[from] ??= []).push(letters);
    return letters;
  }

  #edge(from: number, symbol: number): number {
    for (let child = this.#child[from]!; child; child = this.#sibling[child]!) if (this.#symbol[child] === symbol) return child;
    const child = this.#node(symbol);
    this.#sibling[child] = this.#child[from]!;
    this.#child[from] = child;
    return child;
  }

  #node(symbol: number): number {
    this.#child.push(0);
    this.#sibling.push(0);
    this.#run.push(0);
    this.#letter.push(undefined);
    this.#patterns.push(undefined);
    return this.#symbol.push(symbol) - 1;
  }

  #accept(node: number, pattern: string): void {
    (this.#patterns[node] ??= []).push(pattern);
  }
}

/** Without a `*` but as the whole of the first label: at most one state a letter, whatever else there is of this kind. */
export function isLinear(pattern: string): boolean {
  return !pattern.replace(/^\*+(?=\.|$)/, '').includes('*');
}

function columnOf(letter: string): number {
  const code = letter.charCodeAt(0);
  if (code >= 97) return code === 95 ? 37 : code - 97;
  if (letter === '_') return 37;
  if (letter === '-') return 36;
  return code - 48 + 26;
}
