/**
 * Requests whose answers have not come yet, by the connection and its exchange: so many, and the oldest goes. All in numbers but what is
 * kept of them: a request costs no object. Places in chains by hash, and in one by age.
 */
export class Exchanges<T> {
  readonly capacity: number;
  #size = 0;
  readonly #mask: number;
  /** First place of each chain, and of each place the next; -1 ends. */
  readonly #heads: Int32Array;
  readonly #next: Int32Array;
  /** By age; of places that are free `#newer` is the next free one. */
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  #oldest = -1;
  #newest = -1;
  #free = 0;
  readonly #connections: Uint32Array;
  readonly #exchanges: Uint32Array;
  readonly #ports: Uint16Array;
  readonly #values: (T | undefined)[];
  readonly #texts: (string | undefined)[];
  /** Of what `take` has found. */
  port = 0;
  text: string | undefined;

  /** A power of two. */
  constructor(capacity: number) {
    this.capacity = capacity;
    this.#mask = capacity - 1;
    this.#heads = new Int32Array(capacity).fill(-1);
    this.#next = new Int32Array(capacity);
    this.#older = new Int32Array(capacity);
    this.#newer = Int32Array.from({ length: capacity }, (_, i) => (i + 1 < capacity ? i + 1 : -1));
    this.#connections = new Uint32Array(capacity);
    this.#exchanges = new Uint32Array(capacity);
    this.#ports = new Uint16Array(capacity);
    this.#values = new Array<T | undefined>(capacity).fill(undefined);
    this.#texts = new Array<string | undefined>(capacity).fill(undefined);
  }

  get size(): number {
    return this.#size;
  }

  put(connection: number, exchange: number, value: T, port: number, text: string | undefined): void {
    this.take(connection, exchange);
    if (this.#free < 0) this.#remove(this.#oldest);
    const place = this.#free;
    this.#free = this.#newer[place]!;
    this.#connections[place] = connection;
    this.#exchanges[place] = exchange;
    this.#ports[place] = port;
    this.#values[place] = value;
    if (this.#texts[place] !== text) this.#texts[place] = text;
    const chain = this.#chain(connection, exchange);
    this.#next[place] = this.#heads[chain]!;
    this.#heads[chain] = place;
    this.#older[place] = this.#newest;
    this.#newer[place] = -1;
    if (this.#newest < 0) this.#oldest = place;
    else this.#newer[this.#newest] = place;
    this.#newest = place;
    this.#size++;
  }

  /** What was put there, once; `port` and `text` are those put with it. */
  take(connection: number, exchange: number): T | undefined {
    for (let place = this.#heads[this.#chain(connection, exchange)]!; place >= 0; place = this.#next[place]!) {
      if (this.#connections[place] !== connection || this.#exchanges[place] !== exchange) continue;
      const value = this.#values[place];
      this.port = this.#ports[place]!;
      this.text = this.#texts[place];
      this.#remove(place);
      return value;
    }
    return undefined;
  }

  #remove(place: number): void {
    const chain = this.#chain(this.#connections[place]!, this.#exchanges[place]!);
    const next = this.#next;
    if (this.#heads[chain] === place) this.#heads[chain] = next[place]!;
    else {
      let before = this.#heads[chain]!;
      while (next[before] !== place) before = next[before]!;
      next[before] = next[place]!;
    }
    const [older, newer] = [this.#older[place]!, this.#newer[place]!];
    if (older < 0) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer < 0) this.#newest = older;
    else this.#older[newer] = older;
    this.#values[place] = undefined;
    this.#newer[place] = this.#free;
    this.#free = place;
    this.#size--;
  }

  #chain(connection: number, exchange: number): number {
    const hash = Math.imul(connection ^ Math.imul(exchange, 0x85ebca6b), 0x9e3779b1);
    return (hash ^ (hash >>> 15)) & this.#mask;
  }
}
