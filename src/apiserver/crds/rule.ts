import type { Schema } from '../schema/schema.ts';
import { anything, choice, flag, labelSelector, list, map, shape, text, whole } from './shapes.ts';

/** The rule of CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy. What a schema cannot say is the policy engine's to check. */

const cidr = text('A range of addresses: 10.0.0.0/8, fd00::/64, or one address.');

const entities = ['all', 'world', 'world-ipv4', 'world-ipv6', 'cluster', 'cluster-mesh', 'host', 'remote-node', 'kube-apiserver', 'ingress', 'init', 'health', 'unmanaged', 'none'];

const cidrRules = (side: string) => list(`Ranges of addresses outside the cluster that are ${side}.`, shape('A range.', {
  cidr,
  cidrGroupRef: text('Name of a CiliumCIDRGroup.', { maxLength: 253 }),
  cidrGroupSelector: labelSelector('CiliumCIDRGroups by label.'),
  except: list('Parts of the range that are left out.', cidr),
}));

const groups = list('Groups of addresses that a cloud provider keeps.', shape('A group.', {
  aws: shape('A group in AWS.', {
    labels: map('Labels of the instances.', { type: 'string' }),
    region: text('Region.'),
    securityGroupsIds: list('Ids of security groups.', { type: 'string' }),
    securityGroupsNames: list('Names of security groups.', { type: 'string' }),
  }),
}));

const selectors = (what: string) => list(what, labelSelector('A selector of endpoints.'));

const secretName = shape('A secret.', { namespace: text('Namespace of the secret.'), 'name!': text('Name of the secret.') });

const tls = (what: string) => shape(what, {
  'secret!': secretName,
  trustedCA: text('Key of the authorities in the secret; ca.crt by default.'),
  certificate: text('Key of the certificate in the secret; tls.crt by default.'),
  privateKey: text('Key of the private key in the secret; tls.key by default.'),
});

const ports = (extra: { readonly protocols: readonly string[] }) => list('Ports; an empty list means all.', shape('A port.', {
  port: text('Number or name of the port; 0 means all.', { pattern: '^(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[0-9]{1,4})$|^([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$|^$' }),
  endPort: whole('Last port of a range.', { format: 'int32', minimum: 0, maximum: 65535 }),
  protocol: choice('Protocol; ANY, or none, means all of TCP, UDP and SCTP.', extra.protocols),
}), { maxItems: 40 });

const protocols = ['TCP', 'UDP', 'SCTP', 'ANY', 'ICMP', 'ICMPv6', 'VRRP', 'IGMP', 'GRE', 'IPIP', 'IPV6', 'ESP', 'AH'];

const httpRules = list('HTTP requests that are let through; a request must fit one of them.', shape('All given fields must fit.', {
  path: text('Regular expression for the whole path with its query.'),
  method: text('Regular expression for the method.'),
  host: text('Regular expression for the host.'),
  headers: list('Headers that must be there, as "Name" or "Name: value".', { type: 'string' }),
  headerMatches: list('Headers with what happens when they do not fit.', shape('A header.', {
    'name!': text('Name of the header.', { minLength: 1 }),
    value: text('Value that it must have.'),
    secret: secretName,
    mismatch: choice('What happens when it does not fit; without one the request is refused.', ['', 'LOG', 'ADD', 'DELETE', 'REPLACE']),
  })),
}));

const nameSelector = {
  matchName: text('A name.', { maxLength: 255, pattern: '^([-a-zA-Z0-9_]+[.]?)+$' }),
  matchPattern: text('A name in which * stands for any characters but dots.', { maxLength: 255, pattern: '^([-a-zA-Z0-9_*]+[.]?)+$' }),
};

const kafkaRules = list('Kafka requests that are let through.', shape('All given fields must fit.', {
  role: text('produce or consume: all requests that the role needs.'),
  apiKey: text('Name of a request, when no role is given.'),
  apiVersion: text('Version of the request.'),
  clientID: text('Id of the client.'),
  topic: text('Topic.', { maxLength: 255 }),
}));

const layer7 = shape('What is let through inside a connection. Only one kind a port.', {
  http: httpRules,
  dns: list('Names that may be asked for.', shape('A name.', nameSelector)),
  kafka: kafkaRules,
  l7proto: text('Name of another protocol.'),
  l7: list('Rules of another protocol.', map('Fields of a rule.', { type: 'string' })),
});

const portRules = list('Ports on which the rule holds; none means all.', shape('Ports and what is let through on them.', {
  ports: ports({ protocols }),
  rules: layer7,
  terminatingTLS: tls('TLS of the clients ends at the node.'),
  originatingTLS: tls('TLS towards the server begins at the node.'),
  serverNames: list('Names in the TLS handshake (SNI).', { type: 'string', minLength: 1 }, { 'x-kubernetes-list-type': 'set', minItems: 1 }),
  listener: shape('A listener of the proxy.', {
    'envoyConfig!': shape('Where the listener is declared.', { kind: choice('Kind of the declaration.', ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig']), 'name!': text('Its name.', { minLength: 1 }) }),
    'name!': text('Name of the listener.', { minLength: 1 }),
    priority: whole('Which listener wins; lower is stronger.', { minimum: 1, maximum: 100 }),
  }),
}));

const denyPortRules = list('Ports on which the rule holds; none means all.', shape('Ports.', { ports: ports({ protocols }) }));

const icmps = list('ICMP messages.', shape('Messages.', {
  fields: list('Types of messages.', shape('A type.', {
    family: choice('IPv4 (the default) or IPv6.', ['IPv4', 'IPv6']),
    'type!': { description: 'Number or name of the type: 8 or EchoRequest.', 'x-kubernetes-int-or-string': true },
  }), { maxItems: 40 }),
}));

const authentication = shape('Whether both ends must prove who they are.', { 'mode!': choice('How.', ['disabled', 'required', 'test-always-fail']) });

const from = (deny: boolean) => ({
  fromEndpoints: selectors('Endpoints that traffic comes from.'),
  fromCIDR: list('Ranges that traffic comes from.', cidr),
  fromCIDRSet: cidrRules('sources'),
  fromEntities: list('Entities that traffic comes from.', choice('An entity.', entities)),
  fromGroups: groups,
  fromNodes: selectors('Nodes that traffic comes from, by node labels.'),
  fromRequires: selectors('Removed upstream: must be empty.'),
  toPorts: deny ? denyPortRules : portRules,
  icmps,
  ...(deny ? {} : { authentication }),
});

const to = (deny: boolean) => ({
  toEndpoints: selectors('Endpoints that traffic goes to.'),
  toCIDR: list('Ranges that traffic goes to.', cidr),
  toCIDRSet: cidrRules('destinations'),
  toEntities: list('Entities that traffic goes to.', choice('An entity.', entities)),
  toServices: list('Services that traffic goes to.', shape('A service.', {
    k8sService: shape('A service by name.', { serviceName: text('Its name.'), namespace: text('Its namespace.') }),
    k8sServiceSelector: shape('Services by label.', { 'selector!': labelSelector('The labels.'), namespace: text('Their namespace.') }),
  })),
  toGroups: groups,
  toNodes: selectors('Nodes that traffic goes to, by node labels.'),
  toRequires: selectors('Removed upstream: must be empty.'),
  ...(deny ? {} : { toFQDNs: list('Names whose addresses traffic goes to.', shape('A name.', nameSelector)) }),
  toPorts: deny ? denyPortRules : portRules,
  icmps,
  ...(deny ? {} : { authentication }),
});

/** `clusterwide` adds the selector of nodes: policies of the host are cluster-wide only. */
export function ruleSchema(clusterwide: boolean): Schema {
  return shape('A rule. `ingress: [{}]` allows nothing: it only turns default deny on.', {
    endpointSelector: labelSelector('Endpoints that the rule is about; {} means all of the namespace.'),
    ...(clusterwide ? { nodeSelector: labelSelector('Nodes that the rule is about: it is then a policy of the host.') } : {}),
    ingress: list('What is accepted.', shape('Traffic that is accepted. Peers of different kinds do not go together in one entry.', from(false))),
    ingressDeny: list('What is refused, whatever is accepted elsewhere.', shape('Traffic that is refused.', from(true))),
    egress: list('What may be sent.', shape('Traffic that may be sent. Peers of different kinds do not go together in one entry.', to(false))),
    egressDeny: list('What may not be sent, whatever is allowed elsewhere.', shape('Traffic that may not be sent.', to(true))),
    enableDefaultDeny: shape('Whether everything else is denied; by default where a direction has entries.', { ingress: flag('For what comes in.'), egress: flag('For what goes out.') }),
    labels: list('Labels of the rule itself.', shape('A label.', { 'key!': text('Key.'), value: text('Value.'), source: text('Source.') })),
    description: text('What the rule is for.'),
    log: shape('What flows that the rule decides carry.', { value: text('A word for the log.', { maxLength: 32, pattern: '^\\PC*$' }) }),
  });
}

export const policyStatus: Schema = anything('What became of the policy.');
