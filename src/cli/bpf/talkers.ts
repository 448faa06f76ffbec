import type { ConntrackLine } from './connections.ts';

/** Who holds entries of the connection table. */
export interface Talker {
  readonly name: string;
  readonly connections: number;
  /** A part of 1, of all entries that were looked at. */
  readonly share: number;
  readonly packets: number;
  readonly bytes: number;
  /** Those that are over and only wait for their place to be needed. */
  readonly expired: number;
}

export const talkersBy = ['source', 'destination', 'pod', 'service'] as const;
export type TalkersBy = (typeof talkersBy)[number];

/** Different names that are told apart; what comes after them is one row. */
const mostNames = 65_536;
const others = '(others)';

/** Counts lines as they come and keeps a row a name. */
export class Talkers {
  readonly #by: TalkersBy;
  readonly #nameOf: (by: 'pod' | 'service', id: number) => string;
  readonly #rows = new Map<string, { connections: number; packets: number; bytes: number; expired: number }>();
  #total = 0;

  constructor(by: TalkersBy, nameOf: (by: 'pod' | 'service', id: number) => string) {
    this.#by = by;
    this.#nameOf = nameOf;
  }

  get total(): number {
    return this.#total;
  }

  add(line: ConntrackLine): void {
    this.#total++;
    // A connection between two pods of the node is both's.
    for (const name of new Set(this.#names(line))) {
      const key = this.#rows.has(name) || this.#rows.size < mostNames ? name : others;
      const row = this.#rows.get(key) ?? { connections: 0, packets: 0, bytes: 0, expired: 0 };
      row.connections++;
      row.packets += line.packets + line.replyPackets;
      row.bytes += line.bytes + line.replyBytes;
      if (line.remaining < 0) row.expired++;
      this.#rows.set(key, row);
    }
  }

  top(count: number): readonly Talker[] {
    return [...this.#rows].map(([name, row]): Talker => ({ name, ...row, share: row.connections / this.#total }))
      .sort((a, b) => b.connections - a.connections || b.bytes - a.bytes || (a.name < b.name ? -1 : 1)).slice(0, count);
  }

  #names({ source, destination, sourceEndpoint, destinationEndpoint, service }: ConntrackLine): string[] {
    switch (this.#by) {
      case 'source': return [addressOf(source)];
      case 'destination': return [destination];
      case 'service': return service === 0 ? [] : [this.#nameOf('service', service)];
      case 'pod': return [sourceEndpoint, destinationEndpoint].filter(id => id !== 0).map(id => this.#nameOf('pod', id));
    }
  }
}

function addressOf(hostPort: string): string {
  return hostPort.slice(0, hostPort.lastIndexOf(':')).replace(/^\[|\]$/g, '');
}
