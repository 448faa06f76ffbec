import { ExternalAddresses, type ExternalAddressRow, type ExternalGrounds } from '../../ipam/external-addresses.ts';
import { objectKey } from '../../kube/reflector.ts';
import type { KubeObject, Node, Service } from '../../kube/types.ts';
import { formatAddr, isAddr, parseAddr } from '../../std/ip.ts';
import { Table, type Changes } from '../../table/table.ts';
import { claimOf, poolOf } from './claims.ts';

export interface ExternalAddressInputs {
  readonly services: Table<Service>;
  /** CiliumLoadBalancerIPPools. */
  readonly pools: Table<KubeObject>;
  readonly nodes: Table<Node>;
}

/**
 * One row for each service that claims external addresses, with those that are served and those that are refused:
 *
 *     services ─┐
 *     pools ────┼─ ExternalAddresses ─► external-addresses ─► frontends (agent), conditions and events (operator)
 *     nodes ────┘
 *
 * Agents and operator compute it of the same objects, so what is said on a service is what its nodes do.
 */
export class ExternalAddressDerivation {
  readonly table = new Table<ExternalAddressRow>('external-addresses', row => row.key);
  readonly inputs: ExternalAddressInputs;
  readonly #addresses: ExternalAddresses;
  readonly #ownersOf: (nodes: Iterable<Node>) => Iterable<readonly [string, string]>;
  readonly #changes: readonly [Changes<Service>, Changes<KubeObject>, Changes<Node>];
  readonly #producer: { synced(): void };
  #nodeText = '';
  #poolText = '';

  constructor(grounds: ExternalGrounds, ownersOf: (nodes: Iterable<Node>) => Iterable<readonly [string, string]>, inputs: ExternalAddressInputs) {
    this.inputs = inputs;
    this.#addresses = new ExternalAddresses(grounds);
    this.#ownersOf = ownersOf;
    this.#changes = [inputs.services.changes(), inputs.pools.changes(), inputs.nodes.changes()];
    this.#addresses.setNodes(ownersOf([]));
    this.#producer = this.table.producer('services, pools and nodes');
  }

  /** Brings the rows up to date with what changed since the last step. */
  step(): void {
    const { services, pools, nodes } = this.inputs;
    const synced = services.synced && pools.synced && nodes.synced;
    const touched = new Set<string>();
    const [changedServices, changedPools, changedNodes] = this.#changes;
    const fromServices = changedServices.take();
    for (const key of fromServices.deleted) for (const other of this.#addresses.update(key, undefined)) touched.add(other);
    for (const service of fromServices.changed) {
      const claim = claimOf(service);
      // Of ten thousand services most claim nothing, and never did.
      if (claim === undefined && !this.table.has(objectKey(service))) continue;
      for (const other of this.#addresses.update(objectKey(service), claim)) touched.add(other);
    }
    if (changedPools.pending) {
      changedPools.take();
      if (this.#poolsChanged()) for (const key of this.#addresses.services) touched.add(key);
    }
    if (changedNodes.pending) {
      changedNodes.take();
      if (this.#nodesMoved()) for (const key of this.#addresses.services) touched.add(key);
    }
    const upserts: ExternalAddressRow[] = [];
    const deletes: string[] = [];
    for (const key of touched) {
      const row = this.#addresses.rowOf(key);
      if (row) upserts.push(row);
      else deletes.push(key);
    }
    this.table.upsert(...upserts);
    this.table.delete(...deletes);
    if (synced) this.#producer.synced();
  }

  /** Undefined where the service `key` is served at the address; else why not, with what to do. */
  refusalOf(key: string, address: string): string | undefined {
    const row = this.table.get(key);
    if (!isAddr(address)) return `${address} is not an IP address`;
    const text = formatAddr(parseAddr(address));
    if (row?.externalIPs.includes(text) || row?.ingress.includes(text)) return undefined;
    const refusal = row?.refused.find(other => other.address === address);
    return refusal ? `${refusal.message}; ${refusal.mend}` : 'it is not known yet whether the service may have it';
  }

  /** Whether another service than `key` has the address by spec.externalIPs. */
  heldExternally(address: string, key: string): boolean {
    return this.#addresses.heldExternally(address, key);
  }

  /** Counts in a pool's status change with every service; only what it gives to whom concerns those who have. */
  #poolsChanged(): boolean {
    const pools = [...this.inputs.pools.rows()];
    const text = JSON.stringify(pools.map(({ metadata, spec }) => [metadata.name, metadata.creationTimestamp, spec]));
    if (text === this.#poolText) return false;
    this.#poolText = text;
    this.#addresses.setPools(pools.map(poolOf));
    return true;
  }

  /** Nodes report every few seconds; their addresses hardly ever change. */
  #nodesMoved(): boolean {
    const owners = [...this.#ownersOf(this.inputs.nodes.rows())];
    const text = owners.map(pair => pair.join()).sort().join();
    if (text === this.#nodeText) return false;
    this.#nodeText = text;
    this.#addresses.setNodes(owners);
    return true;
  }
}
