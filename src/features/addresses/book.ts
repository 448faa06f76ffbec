import { isDeepStrictEqual } from 'node:util';
import { formatPrefix, parsePrefix } from '../../std/ip.ts';

/** What the node believes of one prefix: a row of the kernel's ipcache. */
export interface AddressRow {
  /** Canonical text, `10.244.1.7/32`. */
  readonly prefix: string;
  readonly identity: number;
  /** Who it is as a destination, where that is another number (`networks` of cluster-wide policies). */
  readonly policyIdentity?: number;
  /** Address of the node that tunnels to it, for pods and routers of other nodes. */
  readonly tunnel?: string;
  /** Belongs to the cluster (a pod, a node, or the pods' range): never "world". */
  readonly cluster: boolean;
  /** An address of a node: may be the outer source of tunnelled traffic. */
  readonly node: boolean;
}

export const addressKey = (row: AddressRow): string => row.prefix;

/**
 * How much a source's word counts where two name the same prefix; the later wins:
 * world ◄ policy prefixes ◄ cluster ranges ◄ API servers ◄ nodes ◄ pods elsewhere ◄ pods here.
 */
export const ranks = { world: 0, policy: 1, cluster: 2, apiServer: 3, node: 4, remotePod: 5, localPod: 6 } as const;

/** What one source says of one prefix. */
export interface AddressClaim extends AddressRow {
  readonly rank: number;
  /** Among equals the later one wins: an address that changes hands belongs to its new owner. */
  readonly since: string;
}

export type ClaimInput = Omit<AddressRow, 'prefix'> & { readonly address: string; readonly rank: number; readonly since?: string };

/**
 * Who claims which prefix, kept level with its sources: a source that changes costs work for its own prefixes only, however
 * many there are.
 *
 *     source ─► claims ─► winner of each prefix ─► changed prefixes, taken by the pass
 */
export class AddressBook {
  readonly #claims = new Map<string, Map<string, AddressClaim>>();
  readonly #bySource = new Map<string, readonly string[]>();
  readonly #dirty = new Set<string>();

  /** Makes these the claims of a source; an empty list forgets it. */
  set(source: string, claims: Iterable<ClaimInput>): void {
    const before = this.#bySource.get(source) ?? [];
    const now = new Set<string>();
    for (const { address, rank, since = '', ...row } of claims) {
      const prefix = formatPrefix(parsePrefix(address));
      now.add(prefix);
      this.#claim(source, { ...row, prefix, rank, since });
    }
    for (const prefix of before) if (!now.has(prefix)) this.#drop(prefix, source);
    if (now.size > 0) this.#bySource.set(source, [...now]);
    else this.#bySource.delete(source);
  }

  /** What has changed since the last call: rows that hold now, and prefixes that nobody claims any more. */
  take(): { readonly rows: readonly AddressRow[]; readonly gone: readonly string[] } {
    const rows: AddressRow[] = [];
    const gone: string[] = [];
    for (const prefix of this.#dirty) {
      const winner = this.#winner(prefix);
      if (winner) rows.push(rowOf(winner));
      else gone.push(prefix);
    }
    this.#dirty.clear();
    return { rows, gone };
  }

  /** All rows, for a look. */
  rows(): AddressRow[] {
    return [...this.#claims.keys()].map(prefix => rowOf(this.#winner(prefix)!));
  }

  #claim(source: string, claim: AddressClaim): void {
    const holders = this.#claims.get(claim.prefix) ?? new Map<string, AddressClaim>();
    const known = holders.get(source);
    if (known && isDeepStrictEqual(known, claim)) return;
    holders.set(source, claim);
    this.#claims.set(claim.prefix, holders);
    this.#dirty.add(claim.prefix);
  }

  #drop(prefix: string, source: string): void {
    const holders = this.#claims.get(prefix);
    if (!holders?.delete(source)) return;
    if (holders.size === 0) this.#claims.delete(prefix);
    this.#dirty.add(prefix);
  }

  #winner(prefix: string): AddressClaim | undefined {
    let best: AddressClaim | undefined;
    for (const claim of this.#claims.get(prefix)?.values() ?? []) if (!best || outranks(claim, best)) best = claim;
    return best;
  }
}

/** Total: two claims that differ never tie, so the order in which they came decides nothing. */
function outranks(a: AddressClaim, b: AddressClaim): boolean {
  if (a.rank !== b.rank) return a.rank > b.rank;
  if (a.since !== b.since) return a.since > b.since;
  if (a.identity !== b.identity) return a.identity > b.identity;
  return (a.tunnel ?? '') > (b.tunnel ?? '');
}

function rowOf({ prefix, identity, policyIdentity, cluster, node, tunnel }: AddressClaim): AddressRow {
  return { prefix, identity, cluster, node, ...(policyIdentity === undefined ? {} : { policyIdentity }), ...(tunnel === undefined ? {} : { tunnel }) };
}
