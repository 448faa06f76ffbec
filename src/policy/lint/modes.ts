/** Policies that are not enforced, or for pods where nothing is; and networks, which select pods too. */
import { isIPv4, parseAddr, parsePrefix, prefixHas } from '../../std/ip.ts';
import { prefixFamily } from '../../model/identity.ts';
import { entryPath } from '../edit.ts';
import { policyAnnotations } from '../policy.ts';
import type { Rule } from '../policy.ts';
import { peerPath } from '../written.ts';
import type { Checked } from './finding.ts';
import { fieldsOf } from './finding.ts';

export function checkModes({ world, source, policy, report }: Checked): void {
  const at = `metadata.annotations[${policyAnnotations.mode}]`;
  if (policy.mode === 'audit') report('in-audit', 'info', at, 'the policy is in audit: what only it denies passes, and is reported with the verdict AUDIT', 'remove the annotation to enforce it');
  if (policy.mode === 'shadow') report('in-shadow', 'info', at, 'the policy is in shadow: it decides nothing, and where it would decide otherwise that is counted', 'remove the annotation to enforce it');
  const known: readonly string[] = [policyAnnotations.mode, policyAnnotations.established, policyAnnotations.l7Http];
  for (const name of Object.keys(fieldsOf(source.object.metadata?.annotations))) {
    if (name.startsWith('policy.cirri.io/') && !known.includes(name)) report('unknown-annotation', 'warning', `metadata.annotations[${name}]`, `${name} says nothing on a policy${name === policyAnnotations.audit ? ': it is for namespaces and pods' : ''}`, `write ${known.join(' or ')}`);
  }
  const pods = world.scenario.pods.filter(pod => !pod.hostNetwork && policy.specs.some(s => !s.selectsNodes && s.subject.matches(pod.labels)));
  const audited = pods.filter(pod => pod.audit !== undefined);
  if (policy.mode === 'enforce' && audited.length > 0) report('pods-in-audit', 'info', 'metadata.name', `${audited.length} of ${pods.length} pods that it selects are in audit (${audited[0]!.namespace}/${audited[0]!.name}): what it denies them passes`, `remove ${policyAnnotations.audit} from their ${audited[0]!.audit === 'namespace' ? 'namespaces' : 'pods'} to enforce it there`);
}

/** Unlike ipBlock and toCIDR. */
export function checkNetworks(checked: Checked): void {
  for (const rule of checked.policy.specs.flatMap(s => s.rules)) {
    if (rule.peers === 'any') continue;
    for (const [i, peer] of rule.peers.entries()) if (peer.type === 'cidr' && peer.pods) checkNetwork(checked, rule, i, peer.cidr);
  }
}

function checkNetwork({ world, source, report }: Checked, rule: Rule, index: number, text: string): void {
  const network = parsePrefix(text);
  const holds = (address: string) => (prefixFamily(network) === 'ipv4') === isIPv4(parseAddr(address)) && prefixHas(network, parseAddr(address));
  const pods = world.scenario.pods.filter(pod => !pod.hostNetwork && pod.addresses.some(holds));
  const verb = { allow: 'allows', deny: 'denies', pass: 'passes on' }[rule.effect as 'allow'];
  const [field, mend] = [peerPath(source.object, entryPath(rule.path), index), `if only what is outside was meant, put a rule for the pods (- namespaces: {}) before it`];
  if (pods.length > 0) report('networks-and-pods', 'warning', field, `networks select pods by their addresses too (ipBlock and toCIDR do not): this ${verb} ${pods.length} pods (${pods[0]!.namespace}/${pods[0]!.name})`, mend);
  else if (text.endsWith('/0')) report('networks-and-pods', 'info', field, `networks select pods by their addresses too (ipBlock and toCIDR do not): this ${verb} every pod as well`, mend);
}
