import { uplinkName, type NodeDevices } from '../datapath/node-devices.ts';
import type { XdpMode } from '../datapath/programs.ts';
import type { ExternalAddressRow } from '../ipam/external-addresses.ts';
import type { ClusterRecord, NodeRecord } from '../model/cluster.ts';
import { mtuBudget, type PathMtu } from '../model/mtu.ts';
import { masqueradePorts } from '../model/settings.ts';
import type { FeatureStatus, KubeProxyReplacementStatus } from '../model/status.ts';

/** What the datapath does as this node was started. What a capability knows of itself only while it runs it says itself (`AgentParts.features`). */
export function plainFeatures(record: ClusterRecord, devices: NodeDevices): FeatureStatus[] {
  return [
    { name: 'Datapath', state: 'on', detail: 'tcx on pods, uplink and overlay; pod to pod by bpf_redirect_peer' },
    { name: 'Routing', state: 'on', detail: record.routing === 'tunnel' ? `VXLAN, identity in the VNI, MTU ${devices.podMtu}` : `native, MTU ${devices.podMtu}` },
    { name: 'Policy', state: 'degraded', detail: 'L3/L4, CIDR, entities, ICMP at both ends, for pods and nodes; L7 and DNS names; authentication fails closed' },
    { name: 'PolicyMode', state: 'on', detail: `${record.policyMode}${record.audit ? ', audit: denials pass' : ''}` },
    { name: 'Identities', state: 'on', detail: 'CiliumIdentity, 256 to 65535' },
    { name: 'Encryption', state: 'off', detail: 'traffic between nodes is in the clear' },
  ];
}

/** `BPF [eth0] 10.0.0.0/8 [IPv4: Enabled, IPv6: Enabled]` in upstream's words: what lies in these prefixes is not masqueraded. */
export function masqueradeFeature(record: ClusterRecord, exclusions: readonly string[], trouble: string | undefined): FeatureStatus {
  const kept = [record.clusterCidr4, record.clusterCidr6, ...exclusions];
  const shown = kept.length > 6 ? `${kept.slice(0, 6).join(' ')} and ${kept.length - 6} more` : kept.join(' ');
  return {
    name: 'Masquerading', state: trouble === undefined ? 'on' : 'degraded',
    detail: trouble ?? `BPF [${uplinkName}] ${shown} [IPv4: Enabled, IPv6: Enabled], ports ${masqueradePorts.join(' to ')}`,
  };
}

/** Upstream's block `KubeProxyReplacement Details`. `xdp`: the mode in which it is attached, if it is. */
export function kubeProxyReplacement(record: ClusterRecord, node: NodeRecord, xdp: XdpMode | undefined): KubeProxyReplacementStatus {
  const { loadBalancer, maglev, nodePort, socketLB, bpf, localRedirectPolicies } = record.settings;
  return {
    socketLB: 'Enabled',
    socketLBCoverage: socketLB.hostNamespaceOnly ? 'Hostns-only' : 'Full',
    devices: [{ name: uplinkName, addresses: [node.underlay4, node.underlay6], directRouting: true }],
    mode: ({ snat: 'SNAT', dsr: 'DSR', hybrid: 'Hybrid' } as const)[loadBalancer.mode],
    ...(loadBalancer.mode === 'snat' ? {} : { dsrDispatchMode: 'IP Option/Extension' as const }),
    backendSelection: loadBalancer.algorithm === 'maglev' ? `Maglev (Table Size: ${maglev.tableSize})` : 'Random',
    noBackends: loadBalancer.serviceNoBackendResponse,
    xdpAcceleration: xdp === undefined ? 'Disabled' : xdp === 'generic' ? 'Generic' : 'Native',
    ...(loadBalancer.acceleration !== 'disabled' && xdp === undefined ? { xdpMissing: `loadBalancer.acceleration is ${loadBalancer.acceleration}, and no XDP program is attached` } : {}),
    services: {
      ClusterIP: bpf.lbExternalClusterIP ? 'Enabled (from outside too)' : 'Enabled',
      NodePort: `Enabled (Range: ${nodePort.range.join('-')}${nodePort.addresses.length === 0 ? '' : `, at ${nodePort.addresses.join(' ')}`})`,
      LoadBalancer: 'Enabled', externalIPs: 'Enabled', HostPort: 'Enabled', LocalRedirect: `Enabled (addresses: ${localRedirectPolicies.addressMatcherCIDRs.join(' ') || 'none'})`,
    },
  };
}

/** The same in one line, by name among the other features. */
export function kubeProxyReplacementFeature(status: KubeProxyReplacementStatus): FeatureStatus {
  const { mode, backendSelection, xdpAcceleration, xdpMissing } = status;
  return { name: 'KubeProxyReplacement', state: xdpMissing === undefined ? 'on' : 'degraded', detail: xdpMissing ?? `${mode}, ${backendSelection}, XDP ${xdpAcceleration}` };
}

/** External addresses that services claim and are not served at: why is said on each service. */
export function externalAddressFeature(rows: Iterable<ExternalAddressRow>): FeatureStatus {
  let served = 0;
  const refused: string[] = [];
  for (const row of rows) {
    served += row.externalIPs.length + row.ingress.length;
    for (const refusal of row.refused) refused.push(`${row.key} ${refusal.address} (${refusal.reason})`);
  }
  if (refused.length === 0) return { name: 'ExternalAddresses', state: 'on', detail: `${served} served` };
  const shown = refused.sort().slice(0, 3).join(', ');
  return { name: 'ExternalAddresses', state: 'degraded', detail: `${served} served, ${refused.length} refused: ${shown}${refused.length > 3 ? ` and ${refused.length - 3} more` : ''}; kubectl describe service says why` };
}

export function nodeMtu(record: ClusterRecord, devices: NodeDevices): readonly PathMtu[] {
  return mtuBudget({ uplink: devices.uplinkMtu, routing: record.routing, mode: record.settings.loadBalancer.mode });
}
