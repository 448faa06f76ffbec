import type { LayoutAnswer, LayoutQuestion } from './layout-worker.ts';
import type { LayoutNode, Places } from './layout.ts';
import { groupOf, type Scene } from './scene.ts';

const nothing: Places = { cards: {}, boxes: {} };
const maxRemembered = 4000;
/** So many new ones among those that have places, and all are placed anew. */
const freshShare = 0.25;
/** A map that somebody sees for the first time is filled by what happens: so long, and until it is touched, new lines may move everything. */
const youngMs = 15_000;

/** The worker's address must be one of ours: the page allows no other string to become a script. */
interface TrustedTypes { createPolicy(name: string, rules: { createScriptURL(text: string): string }): { createScriptURL(text: string): string } }

/** A policy's name may be given once. */
const policy = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes?.createPolicy('cirri', { createScriptURL: text => (text.startsWith('/assets/') ? text : '') });

function startWorker(): Worker {
  const address = document.querySelector<HTMLScriptElement>('script[data-worker]')!.dataset['worker']!;
  return new Worker(policy ? policy.createScriptURL(address) : address, { type: 'module' });
}

/** Asks the worker where things stand, one question at a time, and remembers: under each filter, and across visits for the whole map. */
export class Arranger {
  readonly #worker = startWorker();
  readonly #places = new Map<string, Places>();
  readonly #storage: string;
  readonly #onPlaces: () => void;
  #asked = 0;
  /** By filter: when the first places were made, and for how many lines the last. */
  readonly #made = new Map<string, { readonly at: number; links: number }>();
  #waiting: { readonly key: string; readonly number: number } | undefined;

  constructor(cluster: string, onPlaces: () => void) {
    this.#storage = `cirri-places-${cluster}`;
    this.#onPlaces = onPlaces;
    this.#places.set('', recall(this.#storage));
    this.#worker.onmessage = ({ data }: MessageEvent<LayoutAnswer>) => this.#take(data);
  }

  /** Under the filter that `key` tells apart. */
  places(key: string): Places {
    return this.#places.get(key) ?? nothing;
  }

  /** Makes places for those of the scene that have none. `anew`: for all. `isUntouched`: nobody minds yet if cards move. */
  arrange(key: string, scene: Scene, { anew = false, isUntouched = false }: { readonly anew?: boolean; readonly isUntouched?: boolean } = {}): void {
    const known = this.places(key);
    const fresh = [...scene.nodes.values()].filter(node => !(node.id in known.cards) || !(groupOf(node) in known.boxes));
    const made = this.#made.get(key);
    const isGrowing = isUntouched && made !== undefined && performance.now() - made.at < youngMs && scene.pairs.length > made.links;
    if (fresh.length === 0 && !anew && !isGrowing) return;
    if (this.#waiting?.key === key && !anew) return;
    const forget = anew || isGrowing || fresh.length > (scene.nodes.size - fresh.length) * freshShare;
    const nodes = [...scene.nodes.values()].map((node): LayoutNode => ({ id: node.id, group: groupOf(node) }));
    const question: LayoutQuestion = { number: ++this.#asked, nodes, links: scene.pairs.map(({ source, destination }) => ({ source, target: destination })), known: forget ? nothing : known };
    this.#waiting = { key, number: question.number };
    // What an earlier visit has placed is not moved about.
    if (scene.nodes.size > 0) this.#made.set(key, { at: made?.at ?? (Object.keys(known.cards).length > 0 ? -Infinity : performance.now()), links: scene.pairs.length });
    this.#worker.postMessage(question);
  }

  dispose(): void {
    this.#worker.terminate();
  }

  #take({ number, places }: LayoutAnswer): void {
    if (this.#waiting?.number !== number) return;
    const { key } = this.#waiting;
    this.#waiting = undefined;
    // Of those that are not shown now, the places stay: they may come back.
    const known = this.places(key);
    this.#places.set(key, { cards: { ...known.cards, ...places.cards }, boxes: { ...known.boxes, ...places.boxes } });
    if (key === '') remember(this.#storage, this.places(''));
    this.#onPlaces();
  }
}

function recall(name: string): Places {
  try {
    const { cards, boxes } = JSON.parse(localStorage.getItem(name) ?? 'null') as Places;
    const arePairs = [...Object.values(cards), ...Object.values(boxes)].every(pair => Array.isArray(pair) && pair.length === 2 && pair.every(Number.isFinite));
    return arePairs ? { cards, boxes } : nothing;
  } catch {
    return nothing;
  }
}

function remember(name: string, places: Places): void {
  try {
    if (Object.keys(places.cards).length > maxRemembered) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(places));
  } catch {
    // A browser that keeps nothing still shows everything.
  }
}
