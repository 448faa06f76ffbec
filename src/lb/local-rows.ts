import { formatAddr, isIPv4 } from '../std/ip.ts';
import type { Addr } from '../std/ip.ts';
import { addrOf, familyOf, isPort } from './endpoints.ts';
import type { FrontendContext } from './frontends.ts';
import { endpointText, protocolNumbers, rowFlag } from './rows.ts';
import type { BackendRow, FrontendType, ServiceRow } from './rows.ts';

/** A host port of a pod that runs on this node. */
export interface HostPortInput {
  /** Unique: pod, port, protocol and host address. */
  readonly key: string;
  readonly namespace: string;
  readonly pod: string;
  readonly podIPs: readonly string[];
  /** Of the container's port: empty, 0.0.0.0 and :: are all node port addresses. */
  readonly hostIP: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: string;
}

/** One frontend of a CiliumLocalRedirectPolicy, and the ready pods of this node behind it. */
export interface RedirectInput {
  /** Unique: policy, address, port and protocol. */
  readonly key: string;
  readonly namespace: string;
  readonly policy: string;
  readonly portName: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly backends: readonly { readonly address: string; readonly port: number }[];
  /** Its backends, when they use the address themselves, reach what they stand in for: `redirect_exempt` is asked. */
  readonly skipRedirectFromBackend: boolean;
}

/** A row for each address on which the port is to answer; the pod is behind it, wherever the client is. */
export function hostPortRow(input: HostPortInput, context: FrontendContext): readonly ServiceRow[] {
  const protocol = protocolNumbers[input.protocol];
  const wanted = addrOf(input.hostIP);
  const isAny = wanted === undefined || wanted.slice(isIPv4(wanted) ? 12 : 0).every(byte => byte === 0);
  if (protocol === undefined || !isPort(input.hostPort)) return [];
  // Another address than the node's own would be somebody else's.
  const own = wanted && (isLoopback(wanted) || context.place.addresses.has(formatAddr(wanted))) ? [{ addr: wanted, hostOnly: isLoopback(wanted) }] : [];
  return (isAny ? context.nodePorts : own).flatMap(({ addr, hostOnly }) => {
    // `0.0.0.0` asks for IPv4 alone, as in Kubernetes.
    if (wanted && isAny && familyOf(wanted) !== familyOf(addr)) return [];
    const backends = backendRows(input.podIPs.map(address => ({ address, port: input.containerPort })), addr, input.protocol, context.place.name);
    if (backends.length === 0) return [];
    return [row({ namespace: input.namespace, name: input.pod, portName: '', type: 'HostPort', addr, port: input.hostPort, protocolName: input.protocol, protocol, backends, flags: hostOnly ? rowFlag.hostOnly : rowFlag.routable })];
  });
}

/** No row without a pod behind it: the address is then what it was before. */
export function redirectRow(input: RedirectInput): readonly ServiceRow[] {
  const protocol = protocolNumbers[input.protocol];
  const addr = addrOf(input.address);
  if (protocol === undefined || addr === undefined || !isPort(input.port)) return [];
  const backends = backendRows(input.backends, addr, input.protocol, '');
  if (backends.length === 0) return [];
  const flags = input.skipRedirectFromBackend ? rowFlag.redirectExempt : 0;
  return [row({ namespace: input.namespace, name: input.policy, portName: input.portName, type: 'LocalRedirect', addr, port: input.port, protocolName: input.protocol, protocol, backends, flags })];
}

function isLoopback(addr: Addr): boolean {
  return isIPv4(addr) ? addr[12] === 127 : addr.every((byte, i) => byte === (i === 15 ? 1 : 0));
}

/** Those of the frontend's family. */
function backendRows(backends: readonly { readonly address: string; readonly port: number }[], frontend: Addr, protocolName: string, nodeName: string): BackendRow[] {
  const rows = new Map<string, BackendRow>();
  for (const { address, port } of backends) {
    const addr = addrOf(address);
    if (!addr || !isPort(port) || familyOf(addr) !== familyOf(frontend)) continue;
    const key = endpointText(addr, port, protocolName);
    rows.set(key, { key, addr, port, state: 'active', nodeName });
  }
  return [...rows.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

interface RowParts {
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  readonly type: FrontendType;
  readonly addr: Addr;
  readonly port: number;
  readonly protocolName: string;
  readonly protocol: number;
  readonly backends: readonly BackendRow[];
  readonly flags: number;
}

function row({ protocolName, ...parts }: RowParts): ServiceRow {
  return { ...parts, key: endpointText(parts.addr, parts.port, protocolName), scope: 0, affinityTimeout: 0, maglev: 0, sources: [] };
}
