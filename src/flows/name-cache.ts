/** Under which names an address was handed out, to whom and until when. */
export interface NameRow {
  /** Local endpoint that asked. */
  readonly endpoint: number;
  readonly name: string;
  readonly ip: string;
  /** When it is forgotten, and when its TTL ends; monotonic clock, nanoseconds. */
  readonly untilNs: number;
  readonly ttlEndNs: number;
}

export interface NameCacheOptions {
  /** Addresses of one pod, of the node, and names of one address; the oldest goes. */
  readonly perPod?: number;
  readonly total?: number;
  readonly perAddress?: number;
  /** How long a name is kept at least, whatever its TTL says: connections live longer than their look-ups. */
  readonly minimumSeconds?: number;
}

interface Times {
  untilNs: number;
  ttlEndNs: number;
}

interface Names {
  readonly until: Map<string, Times>;
  /** Shared with flows: made anew when a name comes or goes. */
  list: readonly string[];
}

/** Those who looked an address up by no name of their own get what others on the node were told. */
const anybody = 0;

/**
 * Addresses and the names that pods were given them under, from the answers that came to them. Each pod has its own, so that
 * two pods that know an address by other names see their own ones; an address that a pod has not looked up has those of the node.
 */
export class NameCache {
  readonly #perPod: number;
  readonly #total: number;
  readonly #perAddress: number;
  readonly #minimumNs: number;
  readonly #viewers = new Map<number, Map<string, Names>>();
  #size = 0;
  #revision = 0;

  constructor({ perPod = 1_000, total = 20_000, perAddress = 16, minimumSeconds = 600 }: NameCacheOptions = {}) {
    this.#perPod = perPod;
    this.#total = total;
    this.#perAddress = perAddress;
    this.#minimumNs = minimumSeconds * 1e9;
  }

  /** Counts the changes of what `namesOf` says. */
  get revision(): number {
    return this.#revision;
  }

  /** Addresses held, of all pods together. */
  get size(): number {
    return this.#size;
  }

  learn(endpoint: number, name: string, ips: readonly string[], ttlSeconds: number, nowNs: number): void {
    const ttlEndNs = nowNs + ttlSeconds * 1e9;
    const times = { untilNs: Math.max(ttlEndNs, nowNs + this.#minimumNs), ttlEndNs };
    for (const ip of ips) {
      if (endpoint !== anybody) this.#put(endpoint, ip, name, times, this.#perPod);
      this.#put(anybody, ip, name, times, this.#total);
    }
    while (this.#size > 2 * this.#total) this.#dropOldestPod();
  }

  /** The names of the pod's own look-ups, else of the node's. */
  namesOf(ip: string, endpoint = anybody): readonly string[] | undefined {
    return (this.#viewers.get(endpoint)?.get(ip) ?? this.#viewers.get(anybody)?.get(ip))?.list;
  }

  /** Forgets what is over. Costs as much as it looks at: once a minute is enough. */
  expire(nowNs: number): void {
    for (const [viewer, addresses] of this.#viewers) {
      for (const [ip, names] of addresses) {
        const before = names.until.size;
        for (const [name, { untilNs }] of names.until) if (untilNs < nowNs) names.until.delete(name);
        if (names.until.size === 0) this.#drop(viewer, addresses, ip);
        else if (names.until.size < before) this.#changed(names);
      }
    }
  }

  *rows(): Generator<NameRow> {
    for (const [endpoint, addresses] of this.#viewers) {
      if (endpoint === anybody) continue;
      for (const [ip, { until }] of addresses) for (const [name, times] of until) yield { endpoint, name, ip, ...times };
    }
  }

  #put(viewer: number, ip: string, name: string, { untilNs, ttlEndNs }: Times, limit: number): void {
    let addresses = this.#viewers.get(viewer);
    if (!addresses) this.#viewers.set(viewer, addresses = new Map());
    let names = addresses.get(ip);
    if (names) {
      // The one that was learned last is the last to go.
      addresses.delete(ip);
      addresses.set(ip, names);
    } else {
      if (addresses.size >= limit) this.#drop(viewer, addresses, addresses.keys().next().value!);
      if (addresses.size === 0) this.#viewers.set(viewer, addresses);
      addresses.set(ip, names = { until: new Map(), list: [] });
      this.#size++;
    }
    const known = names.until.get(name);
    if (known) {
      known.untilNs = Math.max(known.untilNs, untilNs);
      known.ttlEndNs = Math.max(known.ttlEndNs, ttlEndNs);
      return;
    }
    names.until.set(name, { untilNs, ttlEndNs });
    if (names.until.size > this.#perAddress) names.until.delete(names.until.keys().next().value!);
    this.#changed(names);
  }

  #changed(names: Names): void {
    names.list = [...names.until.keys()];
    this.#revision++;
  }

  #drop(viewer: number, addresses: Map<string, Names>, ip: string): void {
    addresses.delete(ip);
    this.#size--;
    this.#revision++;
    if (addresses.size === 0) this.#viewers.delete(viewer);
  }

  /** Pods together may not hold more than the node: the one that came first loses its own, and sees the node's. */
  #dropOldestPod(): void {
    for (const [viewer, addresses] of this.#viewers) {
      if (viewer === anybody) continue;
      this.#size -= addresses.size;
      this.#revision++;
      this.#viewers.delete(viewer);
      return;
    }
    throw new Error('the node itself holds more names than it may');
  }
}
