/** The port of Hubble's API on every node. */
export const hubblePort = 4244;

const domain = 'hubble-grpc.cilium.io';

/** The name that a node's certificate bears and its clients ask for: dots within names become dashes, so that one wildcard covers a cluster. */
export function peerServerName(node: string, clusterName: string): string {
  return `${dashed(node)}.${dashed(clusterName)}.${domain}`;
}

/** All nodes of a cluster. */
export function wildcardServerName(clusterName: string): string {
  return `*.${dashed(clusterName)}.${domain}`;
}

function dashed(name: string): string {
  return name.replaceAll('.', '-');
}
