import type { JsonObject } from '../object.ts';
import type { Schema } from '../schema/schema.ts';
import { definition } from './definition.ts';
import type { PrinterColumn } from './definition.ts';
import { age, enforced, valid } from './policy-columns.ts';
import { choice, conditions, labelSelector, list, policyNodes, shape, text, whole } from './shapes.ts';

/*
 * policy.networking.k8s.io (sigs.k8s.io/network-policy-api): AdminNetworkPolicy and BaselineAdminNetworkPolicy of v1alpha1,
 * and ClusterNetworkPolicy of v1alpha2 (0.2.0), which replaces both. The experimental channel, which is a superset of the
 * standard one. What upstream says in CEL is the policy engine's to check.
 */

/** "Exactly one field must be set", as upstream's schemas say it. */
const exactlyOne = { minProperties: 1, maxProperties: 1 } as const;

/** How much of a kind's rules there may be, and what they are called: the two versions of the API differ in nothing else. */
interface Dialect {
  readonly actions: readonly string[];
  readonly maxRules: number;
  readonly maxItems: number;
  readonly ports: { readonly [field: string]: Schema };
  readonly namespaceSelector: 'namespaceSelector' | 'namespaceSelector!';
  readonly domainNames: boolean;
}

const portNumber = (description: string): Schema => whole(description, { format: 'int32', minimum: 1, maximum: 65535 });

const protocol = choice('Protocol; TCP when not given.', ['TCP', 'UDP', 'SCTP']);

const portsOfV1alpha1 = {
  ports: list('Destination ports on which the rule holds; none means all protocols and ports.', shape('A port: by number, by range, or by the name that the pod gives it.', {
    portNumber: shape('One port.', { 'port!': portNumber('Its number.'), protocol }),
    portRange: shape('All ports from start to end.', { 'start!': portNumber('First port.'), 'end!': portNumber('Last port: greater than start.'), protocol }),
    namedPort: text('Name of a port of the pod that the traffic goes to.'),
  }, exactlyOne), { minItems: 1, maxItems: 100 }),
};

const port = shape('A port: by number, or a range.', {
  number: portNumber('Its number.'),
  range: shape('All ports from start to end.', { 'start!': portNumber('First port.'), 'end!': portNumber('Last port: greater than start.') }),
}, exactlyOne);

const transport = (name: string): Schema => shape(`${name} to a port.`, { destinationPort: { ...port, description: 'The port that the traffic goes to.' } }, { minProperties: 1 });

const portsOfV1alpha2 = {
  protocols: list('Protocols and ports on which the rule holds; none means all.', shape('One protocol, or a port by name.', {
    tcp: transport('TCP'), udp: transport('UDP'), sctp: transport('SCTP'),
    destinationNamedPort: text('Name of a port of the pod that the traffic goes to.'),
  }, exactlyOne), { minItems: 1, maxItems: 25 }),
};

const pods = (dialect: Dialect): Schema => shape('Pods by their labels, in namespaces by theirs.', {
  [dialect.namespaceSelector]: labelSelector('The namespaces; {} means all.'),
  'podSelector!': labelSelector('The pods; {} means all.'),
});

const peer = (dialect: Dialect, more: { readonly [field: string]: Schema } = {}): Schema => shape('A peer: exactly one of the fields.', {
  namespaces: labelSelector('All pods of the namespaces with these labels.'),
  pods: pods(dialect),
  ...more,
}, exactlyOne);

const domainName = text('A name: example.com, or *.example.com for all below it.', { pattern: '^(\\*\\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\\.?$' });

const outside = (dialect: Dialect) => ({
  nodes: labelSelector('Nodes by their labels.'),
  networks: list('Ranges of addresses. Pods and nodes in them are meant too.', text('A range: 10.0.0.0/8 or fd00::/8.', { maxLength: 43 }), { minItems: 1, maxItems: 25, 'x-kubernetes-list-type': 'set' }),
  ...(dialect.domainNames ? { domainNames: list('Names in DNS; for rules that let through only.', domainName, { minItems: 1, maxItems: 25, 'x-kubernetes-list-type': 'set' }) } : {}),
});

const rules = (dialect: Dialect, description: string, field: 'from!' | 'to!', peers: Schema): Schema =>
  list(description, shape('A rule. Of the rules that apply to a connection the first one decides.', {
    name: text('Name of the rule, for messages.', { maxLength: 100 }),
    'action!': choice('What becomes of the traffic. Pass: the next tier decides.', dialect.actions),
    [field]: list('Where the traffic comes from or goes to: any of these.', peers, { minItems: 1, maxItems: dialect.maxItems }),
    ...dialect.ports,
  }), { maxItems: dialect.maxRules });

const policy = (description: string, dialect: Dialect, more: { readonly [field: string]: Schema } = {}): Schema => shape(description, {
  'spec!': shape('The policy.', {
    ...more,
    'subject!': shape('Pods that the policy is about: exactly one of the fields. Pods on the host network are not.', {
      namespaces: labelSelector('All pods of the namespaces with these labels; {} means all.'),
      pods: pods(dialect),
    }, exactlyOne),
    ingress: rules(dialect, 'For what comes in.', 'from!', peer(dialect)),
    egress: rules(dialect, 'For what goes out.', 'to!', peer(dialect, outside(dialect))),
  }),
  status: shape('What became of the policy.', { conditions, nodes: policyNodes }),
});

const v1alpha1: Dialect = { actions: ['Allow', 'Deny', 'Pass'], maxRules: 100, maxItems: 100, ports: portsOfV1alpha1, namespaceSelector: 'namespaceSelector!', domainNames: true };
const baseline: Dialect = { ...v1alpha1, actions: ['Allow', 'Deny'], domainNames: false };
const v1alpha2: Dialect = { actions: ['Accept', 'Deny', 'Pass'], maxRules: 25, maxItems: 25, ports: portsOfV1alpha2, namespaceSelector: 'namespaceSelector', domainNames: true };

const priority = whole('Which policy of the tier is asked first: the lower one.', { format: 'int32', minimum: 0, maximum: 1000 });
const priorityColumn: PrinterColumn = { name: 'Priority', type: 'string', jsonPath: '.spec.priority', description: 'Lower is asked first.' };
const tierColumn: PrinterColumn = { name: 'Tier', type: 'string', jsonPath: '.spec.tier', description: 'Before (Admin) or after (Baseline) network policies.' };
const group = 'policy.networking.k8s.io';
const wide = (column: PrinterColumn): PrinterColumn => ({ ...column, priority: 1 });

export const networkPolicyApiDefinitions: readonly JsonObject[] = [
  definition({ group, kind: 'AdminNetworkPolicy', plural: 'adminnetworkpolicies', shortNames: ['anp'], namespaced: false, versions: [{
    name: 'v1alpha1', status: true, columns: [priorityColumn, age, wide(valid), enforced],
    schema: policy('What holds before all network policies: the rule of the lowest priority that applies decides.', v1alpha1, { 'priority!': priority }),
  }] }),
  definition({ group, kind: 'BaselineAdminNetworkPolicy', plural: 'baselineadminnetworkpolicies', shortNames: ['banp'], namespaced: false, versions: [{
    name: 'v1alpha1', status: true, columns: [age, wide(valid), enforced],
    schema: policy('What holds where no network policy selects the pod. There is one, and its name is default.', baseline),
  }] }),
  // Upstream's short name is cnp: that is CiliumNetworkPolicy's here, whose users have it in their fingers.
  definition({ group, kind: 'ClusterNetworkPolicy', plural: 'clusternetworkpolicies', shortNames: [], namespaced: false, versions: [{
    name: 'v1alpha2', status: true, columns: [tierColumn, priorityColumn, age, wide(valid), enforced],
    schema: policy('What holds before (tier Admin) or after (tier Baseline) network policies.', v1alpha2, { 'tier!': choice('When the policy is asked.', ['Admin', 'Baseline']), 'priority!': priority }),
  }] }),
];
