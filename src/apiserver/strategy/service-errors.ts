import { isAddr, parsePrefix } from '../../std/ip.ts';
import { asArray, asNumber, asObject, asString, at, equalJson } from '../object.ts';
import type { Json, JsonObject, KubeObject } from '../object.ts';
import { dnsLabel, dnsSubdomain, labelErrors, qualifiedName } from '../schema/names.ts';
import { duplicate, forbiddenField, invalid, notSupported, required } from '../status.ts';
import type { FieldError } from '../status.ts';
import { specialAddressErrors } from './endpoints.ts';
import { portErrors } from './pods.ts';

/** Whether clients outside reach the service: only then a policy for their traffic means something. */
export function isExternallyAccessible(spec: JsonObject): boolean {
  const type = spec['type'];
  return type === 'NodePort' || type === 'LoadBalancer' || (type === 'ClusterIP' && asArray(spec['externalIPs']).length > 0);
}

/** What is wrong with a service that has its defaults and its numbers, in upstream's words (pkg/apis/core/validation). */
export function serviceErrors(object: KubeObject, old: KubeObject | undefined): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const annotations = asObject(asObject(object['metadata'] as unknown as Json)?.['annotations']) ?? {};
  return [
    ...servicePortErrors(spec), ...labelErrors(spec['selector'], 'spec.selector'), ...externalNameErrors(spec), ...addressErrors(spec),
    ...loadBalancerErrors(spec, annotations), ...policyErrors(spec), ...affinityErrors(spec),
    ...(old ? immutableErrors(spec, asObject(old['spec']) ?? {}) : []), ...statusErrors(object),
  ];
}

function servicePortErrors(spec: JsonObject): FieldError[] {
  const type = asString(spec['type']);
  const errors: FieldError[] = [];
  const ports = asArray(spec['ports']);
  if (ports.length === 0 && type !== 'ExternalName' && spec['clusterIP'] !== 'None') errors.push(required('spec.ports'));
  const names = new Set<string>();
  const taken = new Set<string>();
  ports.forEach((port, i) => {
    const path = `spec.ports[${i}]`;
    const name = asString(at(port, 'name')) ?? '';
    if (name === '' && ports.length > 1) errors.push(required(`${path}.name`, 'a service with several ports needs a name for each'));
    const problem = name === '' ? undefined : dnsLabel(name);
    if (problem) errors.push(invalid(`${path}.name`, name, problem));
    if (name !== '' && names.has(name)) errors.push(duplicate(`${path}.name`, name));
    names.add(name);
    errors.push(...portErrors(asNumber(at(port, 'port')), `${path}.port`));
    const target = at(port, 'targetPort');
    if (typeof target === 'number' && target !== at(port, 'port')) errors.push(...portErrors(target, `${path}.targetPort`));
    const nodePort = at(port, 'nodePort');
    if (nodePort && type !== 'NodePort' && type !== 'LoadBalancer') errors.push(forbiddenField(`${path}.nodePort`, `may not be used when \`type\` is '${type}'`));
    const claims = [`${String(at(port, 'protocol'))} ${String(at(port, 'port'))}`, ...(nodePort ? [`node ${String(at(port, 'protocol'))} ${String(nodePort)}`] : [])];
    if (taken.has(claims[0]!)) errors.push(duplicate(path, { port: at(port, 'port'), protocol: at(port, 'protocol') }));
    else if (claims[1] !== undefined && taken.has(claims[1])) errors.push(duplicate(`${path}.nodePort`, nodePort));
    for (const claim of claims) taken.add(claim);
  });
  return errors;
}

function externalNameErrors(spec: JsonObject): FieldError[] {
  if (spec['type'] !== 'ExternalName') return [];
  if (!spec['externalName']) return [required('spec.externalName', 'a service of type ExternalName needs the name that it stands for')];
  const problem = dnsSubdomain(String(spec['externalName']).replace(/\.$/, '').toLowerCase());
  return problem ? [invalid('spec.externalName', spec['externalName'], problem)] : [];
}

function addressErrors(spec: JsonObject): FieldError[] {
  const type = asString(spec['type']);
  const errors: FieldError[] = [];
  if (spec['clusterIP'] === 'None' && (type === 'NodePort' || type === 'LoadBalancer')) errors.push(invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`));
  asArray(spec['clusterIPs']).forEach((address, i) => {
    if (address !== 'None' && !isAddr(String(address))) errors.push(invalid(`spec.clusterIPs[${i}]`, address, 'must be a valid IP address'));
  });
  asArray(spec['externalIPs']).forEach((address, i) => {
    const path = `spec.externalIPs[${i}]`;
    errors.push(...(isAddr(String(address)) ? specialAddressErrors(String(address), path) : [invalid(path, address, 'must be a valid IP address')]));
  });
  return errors;
}

function loadBalancerErrors(spec: JsonObject, annotations: JsonObject): FieldError[] {
  const isLoadBalancer = spec['type'] === 'LoadBalancer';
  const errors: FieldError[] = [];
  const only = (field: string) => errors.push(forbiddenField(`spec.${field}`, 'may only be used when `type` is \'LoadBalancer\''));
  const annotation = 'service.beta.kubernetes.io/load-balancer-source-ranges';
  const ranges = asArray(spec['loadBalancerSourceRanges']);
  if (ranges.length > 0 && !isLoadBalancer) only('loadBalancerSourceRanges');
  ranges.forEach((range, i) => errors.push(...rangeErrors(String(range).trim(), `spec.loadBalancerSourceRanges[${i}]`)));
  const written = asString(annotations[annotation])?.trim();
  if (ranges.length === 0 && written) {
    if (!isLoadBalancer) errors.push(forbiddenField(`metadata.annotations[${annotation}]`, 'may only be used when `type` is \'LoadBalancer\''));
    for (const range of written.split(',')) errors.push(...rangeErrors(range.trim(), `metadata.annotations[${annotation}]`));
  }
  if (spec['allocateLoadBalancerNodePorts'] !== undefined && !isLoadBalancer) only('allocateLoadBalancerNodePorts');
  const loadBalancerClass = asString(spec['loadBalancerClass']);
  if (loadBalancerClass !== undefined) {
    const problem = qualifiedName(loadBalancerClass);
    if (!isLoadBalancer) only('loadBalancerClass');
    else if (problem) errors.push(invalid('spec.loadBalancerClass', loadBalancerClass, problem));
  }
  const healthPort = asNumber(spec['healthCheckNodePort']) ?? 0;
  if (healthPort !== 0 && !(isLoadBalancer && spec['externalTrafficPolicy'] === 'Local')) {
    errors.push(invalid('spec.healthCheckNodePort', healthPort, 'may only be set when `type` is \'LoadBalancer\' and `externalTrafficPolicy` is \'Local\''));
  }
  return errors;
}

function rangeErrors(text: string, path: string): FieldError[] {
  try {
    if (text.includes('/')) {
      parsePrefix(text);
      return [];
    }
  } catch {
    // Said below.
  }
  return [invalid(path, text, 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)')];
}

const distributions = ['PreferClose', 'PreferSameZone', 'PreferSameNode'];

function policyErrors(spec: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  if (spec['externalTrafficPolicy'] !== undefined && !isExternallyAccessible(spec)) {
    errors.push(invalid('spec.externalTrafficPolicy', spec['externalTrafficPolicy'], 'may only be set for externally-accessible services'));
  }
  const distribution = spec['trafficDistribution'];
  if (distribution !== undefined && !distributions.includes(String(distribution))) errors.push(notSupported('spec.trafficDistribution', distribution, distributions));
  return errors;
}

/** A day: longer would hold a client to a pod that it has long forgotten. */
const longestAffinitySeconds = 86_400;

function affinityErrors(spec: JsonObject): FieldError[] {
  const config = spec['sessionAffinityConfig'];
  if (spec['sessionAffinity'] !== 'ClientIP') {
    return config === undefined || config === null ? [] : [forbiddenField('spec.sessionAffinityConfig', 'must not be set when session affinity is None')];
  }
  const timeout = asNumber(at(config, 'clientIP', 'timeoutSeconds'));
  const good = timeout !== undefined && Number.isInteger(timeout) && timeout > 0 && timeout <= longestAffinitySeconds;
  return good ? [] : [invalid('spec.sessionAffinityConfig.clientIP.timeoutSeconds', timeout ?? null, `must be greater than 0 and less than ${longestAffinitySeconds}`)];
}

/** What a controller writes: only through the status subresource, the object's own writes leave it as it is. */
function statusErrors(object: KubeObject): FieldError[] {
  return asArray(at(object['status'], 'loadBalancer', 'ingress')).flatMap((entry, i) => {
    const path = `status.loadBalancer.ingress[${i}]`;
    const [ip, mode] = [asString(at(entry, 'ip')), asString(at(entry, 'ipMode'))];
    if (ip !== undefined && ip !== '' && !isAddr(ip)) return [invalid(`${path}.ip`, ip, 'must be a valid IP address')];
    if (mode !== undefined && !['VIP', 'Proxy'].includes(mode)) return [notSupported(`${path}.ipMode`, mode, ['VIP', 'Proxy'])];
    return mode !== undefined && !ip ? [forbiddenField(`${path}.ipMode`, 'may not be specified when `ip` is not set')] : [];
  });
}

function immutableErrors(spec: JsonObject, old: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  if (spec['type'] === 'LoadBalancer' && old['type'] === 'LoadBalancer') {
    if (!equalJson(spec['loadBalancerClass'] ?? null, old['loadBalancerClass'] ?? null)) errors.push(invalid('spec.loadBalancerClass', spec['loadBalancerClass'], 'may not change once set'));
    const [now, before] = [spec, old].map(s => (s['externalTrafficPolicy'] === 'Local' ? asNumber(s['healthCheckNodePort']) : undefined));
    if (now !== undefined && before !== undefined && now !== before) errors.push(forbiddenField('spec.healthCheckNodePort', 'field is immutable'));
  }
  if (spec['type'] === 'ExternalName' || old['type'] === 'ExternalName' || !old['clusterIP']) return errors;
  if (spec['clusterIP'] !== old['clusterIP']) {
    errors.push(invalid('spec.clusterIPs[0]', [String(spec['clusterIP'])], `may not change once set (it is ${String(old['clusterIP'])}); delete the service and create it anew`));
  } else if (!equalJson(asArray(spec['ipFamilies'])[0], asArray(old['ipFamilies'])[0])) {
    errors.push(invalid('spec.ipFamilies[0]', asArray(spec['ipFamilies'])[0], 'may not change once set'));
  }
  return errors;
}
