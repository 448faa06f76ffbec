/**
 * What a schema cannot say about the fields of policies: what absent and empty mean, what is not enforced yet, and which
 * condition the object bears then. The reference page is made of the schemas and of this table (tools/language.ts).
 */
import type { ConditionType } from '../../src/policy/policy.ts';

export interface FieldNote {
  /** `KIND path`, as the reference shows them; `Cilium` is both of Cilium's kinds, `Cluster` the three of policy.networking.k8s.io. */
  readonly at: readonly string[];
  readonly absent?: string;
  /** `[]` or `{}`. */
  readonly empty?: string;
  readonly note?: string;
  /** Not enforced as written: fails closed, and the object bears this condition. */
  readonly condition?: ConditionType;
}

export const fieldNotes: readonly FieldNote[] = [
  // NetworkPolicy
  { at: ['NetworkPolicy spec.podSelector'], absent: 'as empty', empty: 'every pod of the namespace' },
  { at: ['NetworkPolicy spec.ingress', 'NetworkPolicy spec.egress'], absent: 'allows nothing where `policyTypes` names the direction', empty: 'the same; `[{}]` allows everything' },
  { at: ['NetworkPolicy spec.policyTypes'], absent: 'Ingress, and Egress where `egress` has entries', empty: 'as absent' },
  { at: ['NetworkPolicy spec.ingress[].from', 'NetworkPolicy spec.egress[].to'], absent: 'anyone, also outside the cluster', empty: 'anyone (**a Cilium list would be nobody**)' },
  { at: ['NetworkPolicy spec.ingress[].ports'], absent: 'every port', empty: 'every port' },
  { at: ['NetworkPolicy spec.ingress[].ports[].port'], absent: 'every port of the protocol', note: 'a name is the subject\'s port at ingress and the peer\'s at egress; where pods of one identity disagree, an allow rule opens nothing' },
  { at: ['NetworkPolicy spec.ingress[].from[].podSelector'], absent: 'with `namespaceSelector`: every pod there', empty: 'every pod of the policy\'s namespace' },
  { at: ['NetworkPolicy spec.ingress[].from[].namespaceSelector'], absent: 'the policy\'s namespace', empty: 'every namespace; selects pods only' },
  { at: ['NetworkPolicy spec.ingress[].from[].ipBlock'], note: 'outside the cluster only: never pods or nodes' },
  { at: ['NetworkPolicy spec.ingress[].ports[].endPort'], note: 'above 65535 is taken as 65535, with a warning' },

  // Cilium
  { at: ['Cilium spec.endpointSelector'], absent: 'an error, unless `nodeSelector` is given', empty: 'every pod of the namespace; cluster-wide: every pod. Never a node' },
  { at: ['CiliumClusterwideNetworkPolicy spec.nodeSelector'], empty: 'every node', note: 'restricts the node itself; what keeps it in the cluster always passes' },
  { at: ['Cilium spec.ingress', 'Cilium spec.egress'], absent: 'the direction is untouched', empty: 'untouched; `[{}]` allows nothing and turns on default deny (**in a NetworkPolicy it allows everything**)' },
  { at: ['Cilium spec.ingressDeny', 'Cilium spec.egressDeny'], absent: 'denies nothing', empty: 'denies nothing; `[{}]` denies nothing by itself and turns on default deny' },
  { at: ['Cilium spec.enableDefaultDeny'], absent: 'each direction that has entries', note: 'with `false` the rules count, and the rest stays open unless another policy closes it' },
  { at: ['Cilium spec.labels', 'Cilium spec.description', 'Cilium spec.log'], note: 'kept, and shown; decides nothing' },
  { at: ['Cilium spec.ingress[].fromEndpoints', 'Cilium spec.egress[].toEndpoints', 'Cilium spec.ingressDeny[].fromEndpoints', 'Cilium spec.egressDeny[].toEndpoints'], absent: 'not limited by it', empty: 'nobody; `[{}]` is every pod of the policy\'s namespace, cluster-wide every pod', note: 'a selector without a namespace means the policy\'s own' },
  { at: ['Cilium spec.ingress[].fromCIDR', 'Cilium spec.egress[].toCIDR', 'Cilium spec.ingress[].fromCIDRSet', 'Cilium spec.egress[].toCIDRSet', 'Cilium spec.ingressDeny[].fromCIDR', 'Cilium spec.egressDeny[].toCIDR', 'Cilium spec.ingressDeny[].fromCIDRSet', 'Cilium spec.egressDeny[].toCIDRSet'], empty: 'nobody', note: 'outside the cluster only: never pods or nodes' },
  { at: ['Cilium spec.ingress[].fromCIDRSet[].cidrGroupRef', 'Cilium spec.ingress[].fromCIDRSet[].cidrGroupSelector'], note: 'a group that is not there is nobody' },
  { at: ['Cilium spec.ingress[].fromCIDRSet[].except'], empty: 'nothing is left out', note: 'must lie inside the range' },
  { at: ['Cilium spec.ingress[].fromEntities', 'Cilium spec.egress[].toEntities', 'Cilium spec.ingressDeny[].fromEntities', 'Cilium spec.egressDeny[].toEntities'], empty: 'nobody, as `none`' },
  { at: ['Cilium spec.egress[].toServices', 'Cilium spec.egressDeny[].toServices'], empty: 'as absent, with a warning', note: 'the pods behind a service with a selector, else the addresses of its endpoints; a service that is not there is nobody. Policies see the pod\'s port, not the service\'s' },
  { at: ['Cilium spec.egress[].toFQDNs'], empty: 'as absent, with a warning', note: 'addresses that the pod was given for a name that matches; outside the cluster only' },
  { at: ['Cilium spec.ingress[].fromGroups', 'Cilium spec.egress[].toGroups', 'Cilium spec.ingressDeny[].fromGroups', 'Cilium spec.egressDeny[].toGroups'], empty: 'as absent, with a warning', condition: 'GroupsNotEnforced' },
  { at: ['Cilium spec.ingress[].fromNodes', 'Cilium spec.egress[].toNodes', 'Cilium spec.ingressDeny[].fromNodes', 'Cilium spec.egressDeny[].toNodes'], empty: 'nobody', note: 'needs nodes with identities of their own; without, an allow rule matches nobody and a deny rule every remote node' },
  { at: ['Cilium spec.ingress[].fromRequires', 'Cilium spec.egress[].toRequires', 'Cilium spec.ingressDeny[].fromRequires', 'Cilium spec.egressDeny[].toRequires'], note: 'taken as a deny rule for pods that lack the labels (`RequiresIsDeny`); refused in deny sections' },
  { at: ['Cilium spec.ingress[].toPorts', 'Cilium spec.egress[].toPorts', 'Cilium spec.ingressDeny[].toPorts', 'Cilium spec.egressDeny[].toPorts'], absent: 'every port and protocol', empty: 'the same, also `[{}]`' },
  { at: ['Cilium spec.ingress[].toPorts[].ports'], absent: 'every port' },
  { at: ['Cilium spec.ingress[].toPorts[].ports[].port'], note: 'the pod\'s port, never the service\'s; a name is the subject\'s at ingress and the peer\'s at egress' },
  { at: ['Cilium spec.ingress[].toPorts[].rules'], empty: 'no limit within the connection, also `http: []`', condition: 'L7NotEnforced' },
  { at: ['Cilium spec.ingress[].toPorts[].terminatingTLS', 'Cilium spec.ingress[].toPorts[].originatingTLS'], note: 'a Secret without a namespace lies in the policy\'s, of a cluster-wide policy in `default`; while it is missing nothing passes' },
  { at: ['Cilium spec.ingress[].toPorts[].serverNames'], note: 'names in the handshake; what is no TLS does not pass' },
  { at: ['Cilium spec.ingress[].toPorts[].listener'], condition: 'ListenerNotEnforced' },
  { at: ['Cilium spec.ingress[].icmps', 'Cilium spec.egress[].icmps', 'Cilium spec.ingressDeny[].icmps', 'Cilium spec.egressDeny[].icmps'], absent: 'not limited by it', note: 'not together with `toPorts` in one entry' },
  { at: ['Cilium spec.ingress[].authentication', 'Cilium spec.egress[].authentication'], absent: 'none is needed', condition: 'AuthenticationNotEnforced' },

  // policy.networking.k8s.io
  { at: ['AdminNetworkPolicy spec.priority', 'ClusterNetworkPolicy spec.priority'], note: 'of equal priorities the name settles' },
  { at: ['AdminNetworkPolicy spec.subject', 'BaselineAdminNetworkPolicy spec.subject', 'ClusterNetworkPolicy spec.subject'], note: 'exactly one field; these policies never turn on default deny' },
  { at: ['AdminNetworkPolicy spec.ingress', 'AdminNetworkPolicy spec.egress', 'BaselineAdminNetworkPolicy spec.ingress', 'BaselineAdminNetworkPolicy spec.egress', 'ClusterNetworkPolicy spec.ingress', 'ClusterNetworkPolicy spec.egress'], absent: 'says nothing', empty: 'says nothing', note: 'the first rule that applies decides' },
  { at: ['AdminNetworkPolicy spec.egress[].to[].networks'], note: 'pods by their addresses too, unlike `toCIDR` and `ipBlock`' },
  { at: ['AdminNetworkPolicy spec.egress[].to[].domainNames', 'ClusterNetworkPolicy spec.egress[].to[].domainNames'], note: 'as `toFQDNs`; `*.` stands for one label or more' },
  { at: ['AdminNetworkPolicy spec.subject.pods.podSelector', 'AdminNetworkPolicy spec.subject.pods.namespaceSelector'], empty: 'all' },
  { at: ['AdminNetworkPolicy spec.ingress[].ports', 'ClusterNetworkPolicy spec.ingress[].protocols'], absent: 'every port and protocol' },
];

export interface ConditionNote {
  readonly severity: 'degraded' | 'warning';
  readonly meaning: string;
}

/** All of them: a condition that is not here does not compile. */
export const conditionNotes: Readonly<Record<ConditionType, ConditionNote>> = {
  L7NotEnforced: { severity: 'degraded', meaning: 'a protocol that nobody reads (`l7proto`): what only this rule would allow on its ports is denied' },
  L7NotAudited: { severity: 'warning', meaning: 'what rules on requests would refuse is not reported while the policy is in audit or shadow' },
  ListenerNotEnforced: { severity: 'degraded', meaning: 'there is no Envoy: what only this rule would allow on its ports is denied' },
  AuthenticationNotEnforced: { severity: 'degraded', meaning: 'nobody can authenticate yet: what the rule covers is denied, also against plain allows' },
  GroupsNotEnforced: { severity: 'degraded', meaning: 'no cloud provider tells the addresses: an allow rule matches nobody, a deny rule the whole world' },
  PeerCannotAuthenticate: { severity: 'warning', meaning: 'only pods of the cluster have certificates: this peer never could' },
  NoDNSRule: { severity: 'warning', meaning: '`toFQDNs` without a rule to the resolver with `rules.dns`: names are learned all the same from answers on port 53 that the pod may have; upstream would learn none' },
  NamespaceOverridden: { severity: 'warning', meaning: 'the subject names another namespace than the policy\'s: the policy\'s counts' },
  SelectsNothing: { severity: 'warning', meaning: 'a rule that applies to nobody, such as `ingress: [{}]`' },
  EmptyMeansAny: { severity: 'warning', meaning: 'something empty or left out that means everything' },
  EndPortTooLarge: { severity: 'warning', meaning: 'a range that ends above 65535' },
  RequiresIsDeny: { severity: 'warning', meaning: '`fromRequires` and `toRequires` of older versions' },
};
