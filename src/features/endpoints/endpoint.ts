/** A pod's end on this node: made by CNI ADD, kept on disk so that a restarted agent knows it, gone with CNI DEL. */
export interface Endpoint {
  /** Node-local, 1 to 2^31-1, not reused while the agent's record lasts: conntrack tells owners of an address apart by it. */
  readonly id: number;
  readonly containerId: string;
  readonly interfaceName: string;
  readonly netns: string;
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly hostInterface: string;
  readonly ifindex: number;
  readonly mac: string;
  readonly hostMac: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  /** Canonical identity labels in force, sorted: what the identity number stands for. */
  readonly labels: readonly string[];
  readonly identity: number;
  readonly namedPorts: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
  readonly createdAt: string;
}

export const endpointKey = (endpoint: Pick<Endpoint, 'containerId' | 'interfaceName'>): string => `${endpoint.containerId}/${endpoint.interfaceName}`;

export function endpointAddresses(endpoint: Pick<Endpoint, 'ipv4' | 'ipv6'>): readonly string[] {
  return [endpoint.ipv4, endpoint.ipv6].filter(text => text !== undefined);
}
