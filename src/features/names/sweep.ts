import { ConntrackKind } from '../../datapath/generated/enums.ts';
import type { NameAddressKey } from '../../datapath/generated/structs.ts';
import type { NodeMaps } from '../../datapath/maps.ts';
import { livingIdentities, scanAddresses, type AddressScan } from './addresses.ts';
import { nameIdentities } from './names.ts';

/** `NAME_ADDRESSES_OF_POD` and `NAME_PENDING_BUCKETS` (bpf/lib/names.h). */
export const addressesOfPod = 2_048;
const pendingBucketsOfPod = 256;
/** An address that has been over for so long goes. */
const deadSeconds = 600;
const entriesPerTurn = 4_096;

/** What is needed of a map whose keys have an endpoint. */
interface KeyedByEndpoint<K> {
  entries(): Iterable<readonly [K, unknown]>;
  deleteBatch(keys: readonly K[]): void;
}

export interface NameSweepDependencies {
  readonly maps: Pick<NodeMaps, 'nameAddresses'> & {
    readonly nameHeads: KeyedByEndpoint<number>;
    readonly nameRings: KeyedByEndpoint<{ readonly endpoint: number; readonly place: number }>;
    readonly namePending: KeyedByEndpoint<{ readonly endpoint: number; readonly bucket: number }>;
    readonly conntrack: Pick<NodeMaps['conntrack'], 'entries'>;
  };
  /** Numbers of the endpoints that are there. */
  readonly endpoints: () => ReadonlySet<number>;
  readonly nowSeconds: () => number;
}

/**
 * Takes away what names have left behind in the kernel: addresses that are over for long, and all of pods that have gone. An
 * endpoint's number is never given again, so what is gone stays gone.
 */
export class NameSweep {
  readonly #deps: NameSweepDependencies;
  /** Pods that have rows, or may have. */
  #known: Set<number> | undefined;
  /** Not there at the round before: the row of a pod that starts may be a moment behind. */
  #suspects: ReadonlySet<number> = new Set();

  constructor(dependencies: NameSweepDependencies) {
    this.#deps = dependencies;
  }

  async round(signal: AbortSignal): Promise<AddressScan> {
    const { maps, nowSeconds } = this.#deps;
    const now = nowSeconds();
    const scan = await scanAddresses(maps.nameAddresses, now, signal, now - deadSeconds);
    for (const key of scan.dead) this.#removeDead(key, now);
    this.#removeGone(scan.endpoints);
    return scan;
  }

  /** Identities of names that connections were allowed by. Walks all connections. */
  async identitiesOfConnections(): Promise<ReadonlySet<number>> {
    const found = new Set<number>();
    let count = 0;
    for (const [{ kind }, { destinationIdentity }] of this.#deps.maps.conntrack.entries()) {
      if (kind === ConntrackKind.Flow && destinationIdentity >= nameIdentities.first && destinationIdentity <= nameIdentities.last) found.add(destinationIdentity);
      if (++count % entriesPerTurn === 0) await new Promise(resolve => setImmediate(resolve));
    }
    return found;
  }

  /** Looked at again, as an answer may have come since: between that and the removal lie microseconds. */
  #removeDead(key: NameAddressKey, now: number): void {
    const { nameAddresses } = this.#deps.maps;
    const row = nameAddresses.lookup(key);
    if (row && livingIdentities(row, now - deadSeconds).length === 0) nameAddresses.delete(key);
  }

  #removeGone(withAddresses: ReadonlySet<number>): void {
    const { maps, endpoints } = this.#deps;
    const present = endpoints();
    // What an earlier agent has left behind is found once.
    this.#known ??= new Set([...maps.namePending.entries()].map(([key]) => key.endpoint));
    for (const [endpoint] of maps.nameHeads.entries()) this.#known.add(endpoint);
    for (const id of [...withAddresses, ...present]) this.#known.add(id);
    const absent = new Set([...this.#known].filter(id => !present.has(id)));
    for (const id of absent) if (this.#suspects.has(id)) this.#remove(id);
    this.#suspects = absent;
  }

  #remove(endpoint: number): void {
    const { nameAddresses, nameHeads, nameRings, namePending } = this.#deps.maps;
    nameAddresses.deleteBatch([...nameAddresses.entries()].map(([key]) => key).filter(key => key.endpoint === endpoint));
    nameRings.deleteBatch(Array.from({ length: addressesOfPod }, (_, place) => ({ endpoint, place })));
    namePending.deleteBatch(Array.from({ length: pendingBucketsOfPod }, (_, bucket) => ({ endpoint, bucket })));
    nameHeads.deleteBatch([endpoint]);
    this.#known!.delete(endpoint);
  }
}
