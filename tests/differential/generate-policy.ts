/** Random policies over all fields, valid as the API would take them, with a small vocabulary so that they meet. */
import { ofKind } from './objects.ts';
import type { AdminPort, CidrRule, CiliumEntry, CiliumPolicy, CiliumPort, CiliumSpec, ClusterPeer, ClusterPolicy, ClusterProtocol, ClusterRule, ClusterSubject, IcmpRule, KubeObject, LabelSelector, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, PolicyObject, PortRule } from './objects.ts';
import type { Random } from './random.ts';

const namespaceNames = ['x', 'y', 'z'];
const boundaries = [1, 53, 80, 81, 443, 1000, 1024, 8080, 9000, 32768, 65535];
const cidrs = ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '::/0', 'fd00::/8', '10.1.2.3/32', '10.1.2.3', '172.16.0.0/12', '192.0.2.0/24', '2001:db8::/32', 'fd00:1::/32', '10.244.0.0/16'];
/** Those of pods of either node, of single pods, of the outside, and of both. */
const networks = ['10.0.0.0/8', '10.244.0.0/16', '10.244.1.0/24', '10.244.1.10/32', '10.244.2.0/24', '10.1.0.0/16', '0.0.0.0/0', '::/0', 'fd00:10:244::/48', 'fd00:10:244:1::/64', '192.0.2.0/24'];
const entities = ['all', 'world', 'cluster', 'host', 'remote-node', 'kube-apiserver', 'ingress', 'init', 'health', 'unmanaged', 'world-ipv4', 'world-ipv6', 'cluster-mesh', 'none'];

export function randomPolicy(random: Random, objects: readonly KubeObject[]): PolicyObject {
  const policy = ofSomeKind(random, objects);
  if (random.chance(0.2)) policy.metadata.annotations = { 'policy.cirri.io/mode': random.pick(['audit', 'shadow', 'enforce']) };
  if (random.chance(0.1)) policy.metadata.annotations = { ...policy.metadata.annotations, 'policy.cirri.io/established': random.pick(['keep', 'recheck']) };
  if (policy.kind.startsWith('Cilium') && random.chance(0.5)) policy.metadata.annotations = { ...policy.metadata.annotations, 'policy.cirri.io/l7-http': random.pick(['kernel', 'kernel', 'kernel', 'proxy']) };
  return policy;
}

function ofSomeKind(random: Random, objects: readonly KubeObject[]): PolicyObject {
  return random.one<PolicyObject>(
    () => randomClusterPolicy(random), () => randomClusterPolicy(random),
    () => randomNetworkPolicy(random),
    () => randomCiliumPolicy(random, 'CiliumNetworkPolicy', objects), () => randomCiliumPolicy(random, 'CiliumNetworkPolicy', objects),
    () => randomCiliumPolicy(random, 'CiliumClusterwideNetworkPolicy', objects),
    () => readingPolicy(random), () => readingPolicy(random),
  );
}

/** Rules on requests for many peers at few ports, so that they meet. One parser and port a policy: two would be refused. */
function readingPolicy(random: Random): CiliumPolicy {
  const [prefix, direction] = random.pick([['from', 'ingress'], ['from', 'ingress'], ['to', 'egress']] as const);
  const peers = () => random.pick<CiliumEntry>([{}, {}, { [`${prefix}Entities`]: ['all'] }, { [`${prefix}Entities`]: ['cluster'] }, { [`${prefix}Endpoints`]: [{}] }, { [`${prefix}CIDR`]: ['0.0.0.0/0'] }]);
  const port = random.pick(['80', '443']);
  const read = random.pick<() => PortRule>([
    () => ({ ports: [{ port, protocol: 'TCP' }], rules: { http: random.list(1, 2, () => random.pick<object>([{ method: 'GET' }, { path: '/x' }, { method: 'PUT', path: '/x' }, {}])) } }),
    () => ({ ports: [{ port, protocol: 'TCP' }], rules: { http: [{ method: random.pick(['GET', 'PUT']) }] } }),
    () => ({ ports: [{ port, protocol: 'TCP' }], serverNames: [random.pick(['a.example.com', 'b.example.com'])] }),
    () => ({ ports: [{ port: '79', endPort: random.pick([81, 443]), protocol: 'TCP' }], rules: { http: [{ path: '/x' }] } }),
    () => (prefix === 'to' ? { ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchName: random.pick(['a.example.com', 'b.example.com']) }] } } : { ports: [{ port, protocol: 'ANY' }], serverNames: ['a.example.com'] }),
  ]);
  const entries = random.list<CiliumEntry>(1, 3, () => ({ ...peers(), toPorts: [random.chance(0.9) ? read() : { ports: [{ port: random.pick(['53', '80']), protocol: 'TCP' }] }] }));
  if (prefix === 'to' && random.chance(0.3)) entries.push({ toFQDNs: [{ matchName: 'api.example.com' }] }, { toEndpoints: [{}] });
  const spec: CiliumSpec = { endpointSelector: random.chance(0.6) ? {} : labelSelector(random), [direction]: entries, ...(random.chance(0.2) && { enableDefaultDeny: { [direction]: false } }) };
  const name = `read-${random.integer(1, 4)}`;
  return random.chance(0.5) ? { kind: 'CiliumClusterwideNetworkPolicy', metadata: { name }, spec } : { kind: 'CiliumNetworkPolicy', metadata: { name, namespace: random.pick(namespaceNames) }, spec };
}

// ---- selectors ----

function labelSelector(random: Random): LabelSelector {
  return random.one<LabelSelector>(
    () => ({}),
    () => ({ matchLabels: { app: random.pick(['a', 'b', 'c']) } }),
    () => ({ matchLabels: { app: random.pick(['a', 'b', 'c']) } }),
    () => ({ matchLabels: { tier: random.pick(['front', 'back']) } }),
    () => ({ matchLabels: random.pick<Record<string, string>>([{ 'app.kubernetes.io/name': 'shop' }, { 'pod-template-hash': 'a1' }]) }),
    () => ({ matchExpressions: [{ key: 'app', operator: random.pick(['In', 'NotIn']), values: random.pick([['a'], ['a', 'c'], ['b', 'x']]) }] }),
    () => ({ matchExpressions: [{ key: random.pick(['tier', 'app']), operator: random.pick(['Exists', 'DoesNotExist']) }] }),
  );
}

/** With sources, namespaces and reserved labels, as Cilium's selectors may have them. */
function ciliumSelector(random: Random): LabelSelector {
  const namespaceLabel = 'io.cilium.k8s.namespace.labels.team';
  return random.one<LabelSelector>(
    () => labelSelector(random), () => labelSelector(random), () => labelSelector(random), () => labelSelector(random),
    () => ({ matchLabels: { [random.pick(['k8s:app', 'any:app', 'container:app'])]: 'a' } }),
    () => ({ matchLabels: { [random.pick(['k8s:io.kubernetes.pod.namespace', 'io.kubernetes.pod.namespace'])]: random.pick(namespaceNames), ...(random.chance(0.5) && { app: 'a' }) } }),
    () => ({ matchExpressions: [{ key: 'k8s:io.kubernetes.pod.namespace', operator: random.pick(['Exists', 'NotIn', 'In']), values: ['x', 'y'] }].map(e => (e.operator === 'Exists' ? { key: e.key, operator: 'Exists' as const } : e as { key: string; operator: 'In'; values: string[] })) }),
    () => ({ matchLabels: { [random.pick(['k8s:', '']) + namespaceLabel]: random.pick(['red', 'blue']) } }),
    () => ({ matchExpressions: [{ key: `k8s:${namespaceLabel}`, operator: random.pick(['NotIn', 'In']), values: ['red'] }] }),
    () => ({ matchExpressions: [{ key: `k8s:${namespaceLabel}`, operator: 'DoesNotExist' }], ...(random.chance(0.3) && { matchLabels: { app: 'b' } }) }),
    () => ({ matchLabels: { [`reserved:${random.pick(['host', 'remote-node', 'world', 'init', 'health', 'kube-apiserver'])}`]: '' } }),
    () => ({ matchLabels: { 'io.cilium.k8s.policy.cluster': random.pick(['home', 'other']) } }),
    () => ({ matchLabels: { 'io.cilium.k8s.policy.serviceaccount': 'admin' } }),
    () => ({ matchExpressions: [{ key: random.pick(['host', 'any:world', 'any:host']), operator: 'Exists' }] }),
  );
}

// ---- NetworkPolicy ----

function randomNetworkPolicy(random: Random): NetworkPolicy {
  const entries = <F extends 'from' | 'to'>(field: F) => random.list(0, 2, () => ({
    ...(random.chance(0.8) && { [field]: random.list(0, 2, () => networkPolicyPeer(random)) } as { [field in F]?: NetworkPolicyPeer[] }),
    ...(random.chance(0.7) && { ports: random.list(0, 2, () => networkPolicyPort(random)) }),
  }));
  return {
    kind: 'NetworkPolicy', metadata: { name: random.pick(['p', 'q', 'r']), namespace: random.pick(namespaceNames) },
    spec: {
      podSelector: labelSelector(random),
      ...(random.chance(0.7) && { policyTypes: random.pick<('Ingress' | 'Egress')[]>([[], ['Ingress'], ['Egress'], ['Ingress', 'Egress']]) }),
      ...(random.chance(0.7) && { ingress: entries('from') }),
      ...(random.chance(0.7) && { egress: entries('to') }),
    },
  };
}

function networkPolicyPeer(random: Random): NetworkPolicyPeer {
  const namespaceSelector = () => random.pick<LabelSelector>([{}, { matchLabels: { team: 'red' } }, { matchLabels: { 'kubernetes.io/metadata.name': 'y' } }, { matchExpressions: [{ key: 'team', operator: 'DoesNotExist' }] }, { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['red'] }] }]);
  return random.one<NetworkPolicyPeer>(
    () => ({ podSelector: labelSelector(random) }), () => ({ podSelector: labelSelector(random) }),
    () => ({ namespaceSelector: namespaceSelector() }),
    () => ({ namespaceSelector: namespaceSelector(), podSelector: labelSelector(random) }),
    () => ({ ipBlock: random.pick([{ cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] }, { cidr: '0.0.0.0/0' }, { cidr: '::/0', except: ['fd00::/8', '2001:db8::/32'] }, { cidr: '10.1.2.3/32' }, { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] }]) }),
  );
}

function networkPolicyPort(random: Random): NetworkPolicyPort {
  const protocol = random.pick([{}, { protocol: 'TCP' }, { protocol: 'UDP' }, { protocol: 'SCTP' }]);
  return random.one<NetworkPolicyPort>(
    () => ({ port: random.pick(boundaries), ...protocol }), () => ({ port: random.pick(boundaries), ...protocol }),
    () => ({ ...range(random), ...protocol }),
    () => ({ port: random.pick(['web', 'dns', 'metrics', 'none']), ...protocol }),
    () => protocol,
  );
}

/** Often odd ends, so that many blocks are needed; often the whole, half, or one port. */
function range(random: Random): { port: number; endPort: number } {
  const end = () => (random.chance(0.5) ? random.pick(boundaries) : random.integer(1, 65535));
  const [a, b] = [end(), end()];
  return { port: Math.min(a, b), endPort: Math.max(a, b) };
}

// ---- AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy ----

function randomClusterPolicy(random: Random): ClusterPolicy {
  const kind = random.pick(['AdminNetworkPolicy', 'AdminNetworkPolicy', 'BaselineAdminNetworkPolicy', 'ClusterNetworkPolicy', 'ClusterNetworkPolicy'] as const);
  const rules = (direction: 'ingress' | 'egress') => random.list(0, 3, () => clusterRule(random, kind, direction));
  return {
    kind, metadata: { name: kind === 'BaselineAdminNetworkPolicy' ? 'default' : random.pick(['p', 'q', 'r', 's']) },
    spec: {
      ...(kind === 'ClusterNetworkPolicy' && { tier: random.pick(['Admin', 'Baseline'] as const) }),
      // A BaselineAdminNetworkPolicy has no priority and comes first in its tier.
      ...(kind !== 'BaselineAdminNetworkPolicy' && { priority: random.chance(0.1) ? 1000 : random.integer(1, 12) }),
      subject: clusterSubject(random), ...(random.chance(0.8) && { ingress: rules('ingress') }), ...(random.chance(0.8) && { egress: rules('egress') }),
    },
  };
}

function clusterSubject(random: Random): ClusterSubject {
  const namespaces = () => random.pick<LabelSelector>([{}, {}, { matchLabels: { team: 'red' } }, { matchLabels: { 'kubernetes.io/metadata.name': 'x' } }, { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['red'] }] }, { matchExpressions: [{ key: 'env', operator: 'DoesNotExist' }] }]);
  return random.chance(0.5) ? { namespaces: namespaces() } : { pods: { namespaceSelector: namespaces(), podSelector: labelSelector(random) } };
}

function clusterRule(random: Random, kind: ClusterPolicy['kind'], direction: 'ingress' | 'egress'): ClusterRule {
  const allow = kind === 'ClusterNetworkPolicy' ? 'Accept' : 'Allow';
  const action = random.pick<ClusterRule['action']>(kind === 'BaselineAdminNetworkPolicy' ? [allow, 'Deny'] : [allow, 'Deny', 'Pass']);
  const peers = random.list(1, 2, () => clusterPeer(random, direction, action === allow));
  // Only pods have ports with names.
  const onlyPods = peers.every(p => p.namespaces ?? p.pods);
  return {
    action, ...(direction === 'ingress' ? { from: peers } : { to: peers }),
    ...(random.chance(0.6) && (kind === 'ClusterNetworkPolicy' ? { protocols: random.list(1, 2, () => clusterProtocol(random, onlyPods)) } : { ports: random.list(1, 2, () => adminPort(random, onlyPods)) })),
  };
}

function clusterPeer(random: Random, direction: 'ingress' | 'egress', allows: boolean): ClusterPeer {
  if (direction === 'ingress' || random.chance(0.5)) return clusterSubject(random);
  return random.one<ClusterPeer>(
    () => ({ nodes: random.pick<LabelSelector>([{}, { matchLabels: { zone: 'east' } }, { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['east'] }] }]) }),
    () => ({ networks: random.list(1, 2, () => random.pick(networks)) }), () => ({ networks: random.list(1, 2, () => random.pick(networks)) }),
    () => (allows ? { domainNames: ['*.example.com'] } : { networks: ['0.0.0.0/0'] }),
  );
}

function adminPort(random: Random, named: boolean): AdminPort {
  const protocol = random.pick([{}, { protocol: 'TCP' }, { protocol: 'UDP' }, { protocol: 'SCTP' }]);
  return random.one<AdminPort>(
    () => ({ portNumber: { port: random.pick(boundaries), ...protocol } }),
    () => ({ portRange: { ...startAndEnd(random), ...protocol } }),
    () => (named ? { namedPort: random.pick(['web', 'dns', 'metrics', 'none']) } : { portNumber: { port: 80 } }),
  );
}

function clusterProtocol(random: Random, named: boolean): ClusterProtocol {
  const transport = random.pick(['tcp', 'udp', 'sctp']);
  return random.one<ClusterProtocol>(
    () => ({ [transport]: {} }), () => ({ [transport]: { destinationPort: { number: random.pick(boundaries) } } }),
    () => ({ [transport]: { destinationPort: { range: startAndEnd(random) } } }),
    () => (named ? { destinationNamedPort: random.pick(['web', 'dns', 'metrics', 'none']) } : { [transport]: {} }),
  );
}

function startAndEnd(random: Random): { start: number; end: number } {
  const { port, endPort } = range(random);
  return port < endPort ? { start: port, end: endPort } : port < 65535 ? { start: port, end: port + 1 } : { start: port - 1, end: port };
}

// ---- Cilium ----

function randomCiliumPolicy(random: Random, kind: CiliumPolicy['kind'], objects: readonly KubeObject[]): CiliumPolicy {
  const metadata = { name: random.pick(['p', 'q', 'r', 's']), ...(kind === 'CiliumNetworkPolicy' && { namespace: random.pick(namespaceNames) }) };
  const spec = () => ciliumSpec(random, kind, objects);
  return random.chance(0.8) ? { kind, metadata, spec: spec() } : { kind, metadata, ...(random.chance(0.5) && { spec: spec() }), specs: random.list(1, 2, spec) };
}

function ciliumSpec(random: Random, kind: CiliumPolicy['kind'], objects: readonly KubeObject[]): CiliumSpec {
  const onNodes = kind === 'CiliumClusterwideNetworkPolicy' && random.chance(0.15);
  const subject = onNodes ? { nodeSelector: random.pick<LabelSelector>([{}, { matchLabels: { zone: 'east' } }, { matchExpressions: [{ key: 'role', operator: 'DoesNotExist' }] }]) }
    : { endpointSelector: random.chance(0.75) ? labelSelector(random) : ciliumSelector(random) };
  const entries = (prefix: 'from' | 'to', deny: boolean) => random.list(0, 2, () => ciliumEntry(random, prefix, deny, onNodes, objects));
  const spec: CiliumSpec = {
    ...subject,
    ...(random.chance(0.6) && { ingress: entries('from', false) }), ...(random.chance(0.35) && { ingressDeny: entries('from', true) }),
    ...(random.chance(0.6) && { egress: entries('to', false) }), ...(random.chance(0.35) && { egressDeny: entries('to', true) }),
    ...(random.chance(0.2) && { enableDefaultDeny: random.pick<object>([{ ingress: false }, { egress: false }, { ingress: false, egress: false }, { ingress: true }, { egress: true }, {}]) }),
  };
  const empty = [spec.ingress, spec.ingressDeny, spec.egress, spec.egressDeny].every(list => (list ?? []).length === 0);
  return empty ? { ...spec, [random.pick(['ingress', 'egress', 'ingressDeny', 'egressDeny'])]: [{}] } : spec;
}

function ciliumEntry(random: Random, prefix: 'from' | 'to', deny: boolean, onNodes: boolean, objects: readonly KubeObject[]): CiliumEntry {
  return {
    ...ciliumPeerList(random, prefix, deny, objects),
    ...random.one<CiliumEntry>(
      () => ({}), () => ({}),
      () => ({ toPorts: random.list(0, 2, () => portRule(random, prefix, deny, onNodes)) }), () => ({ toPorts: random.list(1, 2, () => portRule(random, prefix, deny, onNodes)) }),
      () => ({ toPorts: random.list(1, 1, () => portRule(random, prefix, deny, onNodes)) }),
      () => ({ icmps: random.list(1, 2, () => icmpRule(random)) }),
    ),
    ...(!deny && random.chance(0.06) && { authentication: { mode: random.pick(['required', 'disabled', 'test-always-fail']) } }),
  };
}

function ciliumPeerList(random: Random, prefix: 'from' | 'to', deny: boolean, objects: readonly KubeObject[]): CiliumEntry {
  const list = <T>(name: string, make: () => T): CiliumEntry => ({ [prefix + name]: random.list(0, 2, make) });
  const services = ofKind(objects, 'Service').map(s => s.metadata);
  return random.one<CiliumEntry>(
    () => ({}),
    () => list('Endpoints', () => ciliumSelector(random)), () => list('Endpoints', () => ciliumSelector(random)), () => list('Endpoints', () => ciliumSelector(random)),
    () => list('Entities', () => random.pick(entities)), () => list('Entities', () => random.pick(entities)),
    () => list('CIDR', () => random.pick(cidrs)),
    () => list('CIDRSet', () => cidrRule(random)), () => list('CIDRSet', () => cidrRule(random)),
    () => list('Nodes', () => random.pick<LabelSelector>([{}, {}, { matchLabels: { zone: 'east' } }, { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['east'] }] }])),
    () => list('Groups', () => ({ aws: { securityGroupsIds: ['sg-1'] } })),
    () => (prefix === 'from' ? {} : list('Services', () => random.one<object>(
      () => ({ k8sService: { serviceName: random.pick(['front', 'back', 'missing']), ...(random.chance(0.7) && { namespace: services.length > 0 ? random.pick(services).namespace : 'x' }) } }),
      () => ({ k8sServiceSelector: { selector: { matchLabels: { kind: 'web' } }, ...(random.chance(0.5) && { namespace: random.pick(namespaceNames) }) } }),
      () => ({}),
    ))),
    () => (prefix === 'from' || deny ? {} : list('FQDNs', () => random.pick([{ matchName: 'api.example.com' }, { matchPattern: '*.example.com' }]))),
  );
}

function cidrRule(random: Random): CidrRule {
  return random.one<CidrRule>(
    () => ({ cidr: random.pick(cidrs) }),
    () => random.pick<CidrRule>([{ cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] }, { cidr: '10.0.0.0/8', except: ['10.1.0.0/16', '10.2.0.0/16'] }, { cidr: '10.1.0.0/16', except: ['10.1.2.3/32'] }, { cidr: '::/0', except: ['fd00::/8'] }]),
    () => ({ cidrGroupRef: random.pick(['office', 'partners', 'missing']), ...(random.chance(0.4) && { except: ['10.1.0.0/16'] }) }),
    () => ({ cidrGroupSelector: { matchLabels: { site: 'hq' } }, ...(random.chance(0.4) && { except: ['10.1.2.0/24'] }) }),
  );
}

/** Below are those of DNS: two parsers on a port are no policy. */
const requestPorts = boundaries.filter(port => port > 53);

/** L7 rules only where the grammar allows them: numbered TCP ports, or DNS at egress. */
function portRule(random: Random, prefix: 'from' | 'to', deny: boolean, onNodes: boolean): PortRule {
  if (!deny && !onNodes && random.chance(0.25)) {
    const port = String(random.chance(0.7) ? random.pick([80, 443]) : random.pick(requestPorts));
    return random.one<PortRule>(
      () => ({ ports: [{ port, protocol: 'TCP', ...(random.chance(0.3) && { endPort: 65535 }) }], rules: { http: [{ method: 'GET' }] } }),
      () => ({ ports: [{ port, protocol: 'TCP' }], rules: random.pick<object>([{}, { http: [] }, { http: [{}] }]) }),
      () => ({ ports: [{ port: 'web', protocol: 'TCP' }], rules: { http: [{ path: '/x' }] } }),
      () => (prefix === 'to' ? { ports: [{ port: '53', protocol: 'ANY' }], rules: { dns: [{ matchPattern: '*' }] } } : { ports: [{ port, protocol: 'TCP' }], serverNames: ['a.example.com'] }),
    );
  }
  return { ports: random.list(0, 3, () => ciliumPort(random)) };
}

function ciliumPort(random: Random): CiliumPort {
  const protocol = random.pick([{}, { protocol: 'TCP' }, { protocol: 'TCP' }, { protocol: 'UDP' }, { protocol: 'SCTP' }, { protocol: 'ANY' }]);
  return random.one<CiliumPort>(
    () => ({ port: String(random.pick(boundaries)), ...protocol }), () => ({ port: String(random.pick(boundaries)), ...protocol }),
    () => {
      const { port, endPort } = range(random);
      return { port: String(port), endPort, ...protocol };
    },
    () => ({ port: '0', ...protocol }),
    () => ({ port: random.pick(['web', 'dns', 'metrics', 'none', 'WEB']), ...protocol }),
    () => ({ protocol: random.pick(['GRE', 'ESP', 'VRRP']) }),
  );
}

function icmpRule(random: Random): IcmpRule {
  return { fields: random.list(0, 2, () => random.pick<IcmpRule['fields'][number]>([{ type: 8 }, { type: 'EchoRequest' }, { type: 0 }, { family: 'IPv6', type: 128 }, { family: 'IPv6', type: 'EchoReply' }, { family: 'IPv4', type: 13 }])) };
}
