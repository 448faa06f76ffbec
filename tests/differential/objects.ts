/** The Kubernetes objects of the differential test, as far as the random ones go: plain JSON, as a user would apply it. */
import type { Request } from './naive-requests.ts';

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }[];
}

export interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export interface Namespace { kind: 'Namespace'; metadata: Metadata }

export interface Pod {
  kind: 'Pod';
  metadata: Metadata;
  spec: { nodeName: string; serviceAccountName?: string; hostNetwork?: boolean; containers: { name: string; ports?: { name?: string; containerPort: number; protocol?: string }[] }[] };
  status: { podIPs: { ip: string }[] };
}

export interface Node { kind: 'Node'; metadata: Metadata; status: { addresses: { type: 'InternalIP'; address: string }[] } }
export interface Service { kind: 'Service'; metadata: Metadata; spec: { selector?: Record<string, string> } }
export interface EndpointSlice { kind: 'EndpointSlice'; metadata: Metadata; endpoints: { addresses: string[] }[] }
export interface CidrGroup { kind: 'CiliumCIDRGroup'; metadata: Metadata; spec: { externalCIDRs: string[] } }

// ---- Kubernetes' NetworkPolicy ----

export interface NetworkPolicyPeer { podSelector?: LabelSelector; namespaceSelector?: LabelSelector; ipBlock?: { cidr: string; except?: string[] } }
export interface NetworkPolicyPort { port?: number | string; endPort?: number; protocol?: string }
export interface NetworkPolicy {
  kind: 'NetworkPolicy';
  metadata: Metadata;
  spec: {
    podSelector: LabelSelector;
    policyTypes?: ('Ingress' | 'Egress')[];
    ingress?: { from?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[];
    egress?: { to?: NetworkPolicyPeer[]; ports?: NetworkPolicyPort[] }[];
  };
}

// ---- Cilium ----

export interface CiliumPort { port?: string; endPort?: number; protocol?: string }
export interface PortRule { ports?: CiliumPort[]; rules?: { http?: object[]; dns?: object[]; kafka?: object[] }; serverNames?: string[] }
export interface CidrRule { cidr?: string; cidrGroupRef?: string; cidrGroupSelector?: LabelSelector; except?: string[] }
export interface ServiceRule { k8sService?: { serviceName?: string; namespace?: string }; k8sServiceSelector?: { selector: LabelSelector; namespace?: string } }
export interface IcmpRule { fields: { family?: 'IPv4' | 'IPv6'; type: number | string }[] }

/** An entry of ingress, ingressDeny, egress or egressDeny. */
export interface CiliumEntry {
  fromEndpoints?: LabelSelector[]; toEndpoints?: LabelSelector[];
  fromEntities?: string[]; toEntities?: string[];
  fromCIDR?: string[]; toCIDR?: string[];
  fromCIDRSet?: CidrRule[]; toCIDRSet?: CidrRule[];
  fromNodes?: LabelSelector[]; toNodes?: LabelSelector[];
  fromGroups?: object[]; toGroups?: object[];
  toServices?: ServiceRule[];
  toFQDNs?: object[];
  toPorts?: PortRule[];
  icmps?: IcmpRule[];
  authentication?: { mode: string };
}

export interface CiliumSpec {
  endpointSelector?: LabelSelector;
  nodeSelector?: LabelSelector;
  ingress?: CiliumEntry[];
  ingressDeny?: CiliumEntry[];
  egress?: CiliumEntry[];
  egressDeny?: CiliumEntry[];
  enableDefaultDeny?: { ingress?: boolean; egress?: boolean };
}

export interface CiliumPolicy { kind: 'CiliumNetworkPolicy' | 'CiliumClusterwideNetworkPolicy'; metadata: Metadata; spec?: CiliumSpec; specs?: CiliumSpec[] }

// ---- the network policy API ----

export interface ClusterSubject { namespaces?: LabelSelector; pods?: { namespaceSelector: LabelSelector; podSelector: LabelSelector } }
export interface ClusterPeer extends ClusterSubject { nodes?: LabelSelector; networks?: string[]; domainNames?: string[] }
export interface AdminPort { portNumber?: { protocol?: string; port: number }; portRange?: { protocol?: string; start: number; end: number }; namedPort?: string }
export interface TransportPort { destinationPort?: { number?: number; range?: { start: number; end: number } } }
export interface ClusterProtocol { tcp?: TransportPort; udp?: TransportPort; sctp?: TransportPort; destinationNamedPort?: string }
export interface ClusterRule { action: 'Allow' | 'Accept' | 'Deny' | 'Pass'; from?: ClusterPeer[]; to?: ClusterPeer[]; ports?: AdminPort[]; protocols?: ClusterProtocol[] }
export interface ClusterPolicy {
  kind: 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy' | 'ClusterNetworkPolicy';
  metadata: Metadata;
  spec: { tier?: 'Admin' | 'Baseline'; priority?: number; subject: ClusterSubject; ingress?: ClusterRule[]; egress?: ClusterRule[] };
}

export type PolicyObject = NetworkPolicy | CiliumPolicy | ClusterPolicy;
export type KubeObject = Namespace | Pod | Node | Service | EndpointSlice | CidrGroup | PolicyObject;

export function ofKind<K extends KubeObject['kind']>(objects: readonly KubeObject[], kind: K): Extract<KubeObject, { kind: K }>[] {
  return objects.filter((o): o is Extract<KubeObject, { kind: K }> => o.kind === kind);
}

export function policiesOf(objects: readonly KubeObject[]): PolicyObject[] {
  return objects.filter((o): o is PolicyObject => o.kind.endsWith('Policy'));
}

// ---- questions ----

export type Direction = 'ingress' | 'egress';

/** The other end. `outside`: an address outside the cluster. `reserved`: what has no pod (health, init, …). */
export type Peer = { readonly pod: string } | { readonly node: string } | { readonly outside: string } | { readonly reserved: string };

/** May this subject (a pod, or a node for host policies) talk with this peer? */
export interface Question {
  readonly subject: { readonly pod: string } | { readonly node: string };
  readonly direction: Direction;
  readonly peer: Peer;
  readonly protocol: number;
  readonly port: number;
  /** By which of its addresses the peer is reached; of an outside address its family. */
  readonly v6: boolean;
}

/** What an end says: passes, is dropped, is read, or passes and is reported; and what it would say with the shadow policies, where that differs. */
export interface Answer {
  readonly verdict: 'allow' | 'deny' | 'redirect' | 'audit';
  /** Of a redirect: the requests that pass. */
  readonly passing?: readonly Request[] | undefined;
  /** Of a redirect whose requests are HTTP's: who is to carry it out. */
  readonly reader?: 'kernel' | 'proxy';
  readonly shadow?: 'allow' | 'deny';
  /** Of a denial: connections that were allowed before go on. Absent where it depends on which of several rules is named. */
  readonly keep?: boolean;
}

/** How the cluster is set up. */
export interface Settings {
  readonly mode: 'default' | 'always' | 'never';
  readonly allowLocalhost: 'always' | 'policy';
  /** Nodes have identities with their labels, as the agent gives them. */
  readonly nodeLabels: boolean;
  /** Somebody reads what is said in a connection; else nothing passes where rules ask for it. */
  readonly provides: { readonly proxy: boolean };
  /** Who carries out rules on HTTP of policies that do not say. */
  readonly httpReader: 'proxy' | 'kernel';
}

export const clusterName = 'home';

export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}

export function questionText(q: Question): string {
  const name = (end: Question['subject'] | Peer) => Object.entries(end).map(([kind, text]) => `${kind} ${text}`).join();
  const [from, to] = q.direction === 'ingress' ? [q.peer, q.subject] : [q.subject, q.peer];
  return `${q.direction} of ${name(q.subject)}: ${name(from)} → ${name(to)}, protocol ${q.protocol}, port ${q.port}, ${q.v6 ? 'IPv6' : 'IPv4'}`;
}
