/** What is wrong, and what upstream takes without a word. */
import { defaultLabelFilter, prefixFamily } from '../../model/identity.ts';
import type { EndpointSelector } from '../../model/selector.ts';
import { isIPv4, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { isClusterPolicy } from '../parse-cluster.ts';
import type { ConditionType } from '../policy.ts';
import type { ScenarioPolicy } from '../scenario.ts';
import type { World } from '../world.ts';
import type { Checked, Entry, Report } from './finding.ts';
import { entriesOf, fieldsOf, listOf, subjectField } from './finding.ts';

/** Said better by the other checks. */
const saidElsewhere: readonly ConditionType[] = ['NoDNSRule'];

const apiVersions: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networking.k8s.io/v1', AdminNetworkPolicy: 'policy.networking.k8s.io/v1alpha1', BaselineAdminNetworkPolicy: 'policy.networking.k8s.io/v1alpha1',
  ClusterNetworkPolicy: 'policy.networking.k8s.io/v1alpha2',
};

/** Of any policy, also one that was refused. */
export function checkInvalid(world: World, source: ScenarioPolicy, report: Report): void {
  for (const error of source.errors) report('invalid', 'error', error.path, `the policy is refused: ${error.message}`, error.mend);
  if (world.scenario.policies.filter(p => p.address === source.address).length > 1) report('duplicate', 'error', 'metadata.name', 'there is another policy of this kind and name: one replaces the other', 'rename one of them');
  const group = apiVersions[String(source.object.kind)] ?? 'cilium.io/v2';
  const { apiVersion } = source.object;
  if (apiVersion !== undefined && apiVersion !== group) report('api-version', 'error', 'apiVersion', `no API serves ${String(source.object.kind)} as ${String(apiVersion)}`, `write apiVersion: ${group}`);
}

export function checkAccepted(checked: Checked): void {
  const { source, policy, report } = checked;
  for (const c of policy.conditions) {
    if (saidElsewhere.includes(c.type) || (c.type === 'EmptyMeansAny' && !isClusterPolicy(policy.kind)) || (c.type === 'SelectsNothing' && !c.path.includes('Nodes'))) continue;
    report(codeOf(c.type), c.type === 'EmptyMeansAny' ? 'info' : 'warning', c.path, c.message, c.severity === 'degraded' ? 'traffic that only this rule would allow is denied' : 'see the message');
  }
  if (policy.kind === 'CiliumClusterwideNetworkPolicy' && source.object.metadata?.namespace !== undefined) report('namespace-ignored', 'warning', 'metadata.namespace', 'a cluster-wide policy has no namespace: it holds everywhere', 'use a CiliumNetworkPolicy, or select the namespace in endpointSelector');
  if (policy.kind === 'NetworkPolicy') checkPolicyTypes(checked);
  for (const spec of policy.specs) {
    if (!spec.selectsNodes) checkIdentityLabels(checked, spec.subject, subjectField(checked, spec));
    for (const rule of spec.rules) for (const peer of rule.peers === 'any' ? [] : rule.peers) if (peer.type === 'selector' && !isForNodes(peer.selector)) checkIdentityLabels(checked, peer.selector, rule.path);
    // Only of the tier normal is a direction closed, or not, by what is said of it.
    for (const direction of policy.tier === 'normal' ? ['ingress', 'egress'] as const : []) {
      const rules = spec.rules.filter(r => r.direction === direction);
      if (!spec.defaultDeny[direction] && rules.length > 0 && rules.every(r => r.effect === 'allow')) report('no-default-deny', 'warning', `${spec.path}.enableDefaultDeny.${direction}`, `without default deny these rules allow what is allowed anyway: the policy restricts nothing at ${direction} unless another one does`, `remove enableDefaultDeny.${direction}: false, or write the rules as ${direction}Deny`);
    }
  }
  for (const entry of entriesOf(checked)) {
    checkAddresses(checked, entry);
    checkRequests(checked, entry);
  }
}

function codeOf(type: ConditionType): string {
  return type.replaceAll(/([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])/g, '$1$3-$2').toLowerCase();
}

function checkPolicyTypes({ source, report }: Checked): void {
  const spec = fieldsOf(source.object.spec);
  const types = listOf(spec['policyTypes']);
  const has = (field: string) => listOf(spec[field]).length > 0;
  for (const [field, type] of [['ingress', 'Ingress'], ['egress', 'Egress']] as const) {
    if (types.length > 0 && !types.includes(type) && has(field)) report('policy-types', 'error', 'spec.policyTypes', `there are ${field} rules and policyTypes does not list ${type}: Kubernetes ignores the rules, Cilium and we enforce them`, `add ${type}, or remove the ${field} rules`);
  }
  if (types.length === 0 && has('egress') && spec['ingress'] === undefined) report('policy-types-default', 'warning', 'spec', 'without policyTypes a policy with egress rules also denies all ingress', 'write policyTypes: [Egress]');
}

/** Nodes have all the labels of their Node objects. */
function isForNodes(selector: EndpointSelector): boolean {
  return selector.requirements.some(r => r.source === 'node' || (r.source === 'reserved' && (r.key === 'host' || r.key === 'remote-node')));
}

/** Some labels of pods never become part of an identity: what selects by them selects nobody. */
function checkIdentityLabels({ report }: Checked, selector: EndpointSelector, field: string): void {
  for (const r of selector.requirements) {
    if ((r.source !== 'any' && r.source !== 'k8s') || defaultLabelFilter({ source: 'k8s', key: r.key, value: '' })) continue;
    const effect = r.operator === 'In' || r.operator === 'Exists' ? 'this selects nobody' : 'this holds for everybody';
    report('label-not-in-identity', 'error', field, `the label ${r.key} changes from pod to pod and is left out of identities: ${effect}`, 'select by a label of the workload');
  }
}

/** CIDRs mean what is outside the cluster; pods and services in them are not reached by them. */
function checkAddresses({ world, report }: Checked, { fields, path, direction, deny }: Entry): void {
  const prefix = direction === 'ingress' ? 'from' : 'to';
  const cidrs = [
    ...listOf(fields[`${prefix}CIDR`]).map((cidr, i) => [cidr, `${path}.${prefix}CIDR[${i}]`] as const),
    ...listOf(fields[`${prefix}CIDRSet`]).map((item, i) => [fieldsOf(item)['cidr'], `${path}.${prefix}CIDRSet[${i}].cidr`] as const),
    ...listOf(fields[prefix]).map((item, i) => [fieldsOf(fieldsOf(item)['ipBlock'])['cidr'], `${path}.${prefix}[${i}].ipBlock.cidr`] as const),
  ];
  for (const [text, field] of cidrs) {
    if (typeof text !== 'string' || text.endsWith('/0')) continue;
    const cidr = parsePrefix(text);
    const holds = (address: string) => (prefixFamily(cidr) === 'ipv4') === isIPv4(parseAddr(address)) && prefixHas(cidr, parseAddr(address));
    const pods = world.scenario.pods.filter(pod => !pod.hostNetwork && pod.addresses.some(holds));
    const service = world.scenario.services.find(s => s.clusterIps.some(holds));
    const verb = deny ? 'deny' : 'allow';
    if (pods.length > 0) report('cidr-and-pods', 'warning', field, `${pods.length} pods have addresses in ${text} (${pods[0]!.namespace}/${pods[0]!.name}): a CIDR never selects pods, so this does not ${verb} them`, `select pods with ${prefix}Endpoints or podSelector`);
    else if (service) report('cidr-and-service', 'warning', field, `service ${service.namespace}/${service.name} has its address in ${text}: policies see the pods behind it, so this does not ${verb} it`, 'select the pods behind the service');
  }
}

function checkRequests({ report }: Checked, { fields, path }: Entry): void {
  for (const [i, block] of listOf(fields['toPorts']).entries()) {
    const http = listOf(fieldsOf(fieldsOf(block)['rules'])['http']);
    for (const [j, value] of http.entries()) {
      const at = `${path}.toPorts[${i}].rules.http[${j}]`;
      const { method, path: requestPath, headers } = fieldsOf(value);
      if (typeof method === 'string' && /^[a-z]+$/.test(method)) report('http-method', 'warning', `${at}.method`, `methods are compared as written: "${method}" never matches ${method.toUpperCase()}`, `write ${method.toUpperCase()}`);
      if (typeof requestPath === 'string' && /^\/[\w/-]*\/$/.test(requestPath) && requestPath.length > 1) report('http-path', 'warning', `${at}.path`, `the whole path must match: "${requestPath}" is this one path and nothing below it`, `write "${requestPath}.*"`);
      for (const [k, header] of listOf(headers).entries()) {
        if (typeof header === 'string' && /^[^\s:]+:\S/.test(header)) report('http-header', 'warning', `${at}.headers[${k}]`, `without a blank after the colon this asks for a header named "${header}", and no request has one`, `write "${header.replace(':', ': ')}"`);
      }
    }
  }
}
