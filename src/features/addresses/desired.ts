import { isIPv4, parseAddr, parsePrefix, formatPrefix } from '../../std/ip.ts';

/** What the node believes of one prefix: a row of the kernel's ipcache. */
export interface AddressRow {
  /** Canonical text, `10.244.1.7/32`. */
  readonly prefix: string;
  readonly identity: number;
  /** Address of the node that tunnels to it, for pods and routers of other nodes. */
  readonly tunnel?: string;
  /** Belongs to the cluster (a pod, a node, or the pods' range): never "world". */
  readonly cluster: boolean;
  /** An address of a node: may be the outer source of tunnelled traffic. */
  readonly node: boolean;
}

export const addressKey = (row: AddressRow): string => row.prefix;

/** A node as far as addresses go. */
export interface NodeAddresses {
  readonly name: string;
  readonly local: boolean;
  readonly underlay: readonly string[];
  readonly routers: readonly string[];
  /** Where the tunnel to this node ends; undefined with native routing and for the local node. */
  readonly tunnel?: string;
}

/** A pod's addresses, from this node's endpoints or from CiliumEndpoint objects of other nodes. */
export interface PodAddresses {
  readonly addresses: readonly string[];
  readonly identity: number;
  readonly local: boolean;
  readonly tunnel?: string;
  /** Later ones win where two claim an address: an address that changes hands belongs to its new owner. */
  readonly since: string;
}

export interface AddressInputs {
  readonly clusterPrefixes: readonly string[];
  readonly nodes: readonly NodeAddresses[];
  readonly apiServers: readonly string[];
  readonly pods: Iterable<PodAddresses>;
  /** Prefixes that policies name, with their node-local identities. */
  readonly policyPrefixes: Iterable<readonly [prefix: string, identity: number]>;
  readonly dualStack: boolean;
}

const identity = { host: 1, world: 2, remoteNode: 6, kubeApiServer: 7, worldIPv4: 9, worldIPv6: 10 } as const;

/**
 * All rows, from what is known now. Where sources disagree on one prefix the later one here wins:
 *
 *     world ◄ cluster ranges ◄ policy prefixes ◄ API servers ◄ nodes ◄ remote pods ◄ local pods
 *
 * A cluster range has identity 0: an address in it that nobody claims is *unknown*, not world.
 */
export function desiredAddresses(inputs: AddressInputs): AddressRow[] {
  const rows = new Map<string, AddressRow>();
  const put = (text: string, row: Omit<AddressRow, 'prefix'>) => {
    const prefix = formatPrefix(parsePrefix(text));
    rows.set(prefix, { prefix, ...row });
  };
  put('0.0.0.0/0', { identity: inputs.dualStack ? identity.worldIPv4 : identity.world, cluster: false, node: false });
  put('::/0', { identity: inputs.dualStack ? identity.worldIPv6 : identity.world, cluster: false, node: false });
  for (const prefix of inputs.clusterPrefixes) put(prefix, { identity: 0, cluster: true, node: false });
  for (const [prefix, id] of inputs.policyPrefixes) {
    // A policy's prefix as wide as a cluster range or the world must not hide what that row says.
    const canonical = formatPrefix(parsePrefix(prefix));
    if (!rows.get(canonical)?.cluster) put(canonical, { identity: id, cluster: false, node: false });
  }
  // No pod and no node: what pods send there leaves with the node's address, as to the world.
  for (const address of inputs.apiServers) put(address, { identity: identity.kubeApiServer, cluster: false, node: false });
  for (const node of inputs.nodes) putNode(node, put);
  const pods = [...inputs.pods].sort((a, b) => Number(a.local) - Number(b.local) || a.since.localeCompare(b.since));
  for (const pod of pods) {
    for (const address of pod.addresses) {
      put(address, { identity: pod.identity, cluster: true, node: false, ...(pod.tunnel === undefined ? {} : { tunnel: pod.tunnel }) });
    }
  }
  return [...rows.values()];
}

function putNode(node: NodeAddresses, put: (text: string, row: Omit<AddressRow, 'prefix'>) => void): void {
  const id = node.local ? identity.host : identity.remoteNode;
  for (const address of node.underlay) put(address, { identity: id, cluster: true, node: true });
  for (const address of node.routers) {
    put(address, { identity: id, cluster: true, node: true, ...(node.tunnel === undefined ? {} : { tunnel: node.tunnel }) });
  }
}

/** Family of a row's prefix: `/0` of either family included. */
export function isIPv4Row(row: AddressRow): boolean {
  return isIPv4(parseAddr(row.prefix.slice(0, row.prefix.indexOf('/'))));
}
