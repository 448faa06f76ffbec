/** Kubernetes' NetworkPolicy (networking.k8s.io/v1), translated to the one internal form. */
import { labelKeys } from '../model/identity.ts';
import { EndpointSelector } from '../model/selector.ts';
import { join } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { parseCidrRule } from './parse-peers.ts';
import { isServiceName } from './parse-ports.ts';
import type { RuleContext } from './parse-rule.ts';
import { hasNamespace, inNamespace, kubernetesSelector, parseSelector, scopeCluster } from './parse-selector.ts';
import { maxPort, protocols } from './policy.ts';
import type { Direction, Peer, PolicySpec, PortMatch, Rule } from './policy.ts';

export function parseNetworkPolicySpec(context: RuleContext, value: unknown, path: string): PolicySpec | undefined {
  const { reader } = context;
  const fields = reader.object(value, path, ['podSelector', 'ingress', 'egress', 'policyTypes']);
  if (!fields) return reader.fail(path, 'must be an object', 'give podSelector and policyTypes');
  const subject = parseSelector(reader, fields['podSelector'] ?? {}, join(path, 'podSelector'), kubernetesSelector);
  const types = (reader.list(fields['policyTypes'], join(path, 'policyTypes')) ?? []).map((t, i) => reader.oneOf(t ?? '', `${path}.policyTypes[${i}]`, ['Ingress', 'Egress']));
  const ingress = reader.list(fields['ingress'], join(path, 'ingress')) ?? [];
  const egress = reader.list(fields['egress'], join(path, 'egress')) ?? [];
  const rules = [
    ...ingress.flatMap((entry, i) => parseEntry(context, entry, `${path}.ingress[${i}]`, 'ingress') ?? []),
    ...egress.flatMap((entry, i) => parseEntry(context, entry, `${path}.egress[${i}]`, 'egress') ?? []),
  ];
  const defaultDeny = {
    ingress: types.includes('Ingress') || ingress.length > 0 || !types.includes('Egress'),
    egress: types.includes('Egress') || egress.length > 0,
  };
  return subject && { path, subject: subject.and(inNamespace(context.scope.namespace!)), selectsNodes: false, defaultDeny, rules };
}

function parseEntry(context: RuleContext, value: unknown, path: string, direction: Direction): Rule | undefined {
  const { reader } = context;
  const peerField = direction === 'ingress' ? 'from' : 'to';
  const fields = reader.object(value, path, [peerField, 'ports']);
  if (!fields) return reader.fail(path, 'must be an object', 'write {} to allow everything');
  const peerList = reader.list(fields[peerField], join(path, peerField)) ?? [];
  const portList = reader.list(fields['ports'], join(path, 'ports')) ?? [];
  const peers = peerList.flatMap((item, i) => parsePeer(context, item, `${path}.${peerField}[${i}]`));
  const ports = portList.flatMap((item, i) => parsePort(context, item, `${path}.ports[${i}]`) ?? []);
  return {
    address: `${context.address}/${path}`, path, direction, effect: 'allow',
    peers: peerList.length === 0 ? 'any' : peers,
    ports: portList.length === 0 ? 'any' : ports,
  };
}

function parsePeer(context: RuleContext, value: unknown, path: string): readonly Peer[] {
  const { reader } = context;
  const fields = reader.object(value, path, ['podSelector', 'namespaceSelector', 'ipBlock']);
  const has = (name: string) => fields?.[name] !== undefined && fields[name] !== null;
  if (!fields || (!has('podSelector') && !has('namespaceSelector') && !has('ipBlock'))) return reader.fail(path, 'must specify a peer', 'give podSelector, namespaceSelector or ipBlock') ?? [];
  if (has('ipBlock')) {
    if (has('podSelector') || has('namespaceSelector')) return reader.fail(path, 'may not specify both ipBlock and another peer', 'write two list entries') ?? [];
    return parseIpBlock(reader, fields['ipBlock'], `${path}.ipBlock`);
  }
  const pods = has('podSelector') ? parseSelector(reader, fields['podSelector'], `${path}.podSelector`, kubernetesSelector) : EndpointSelector.everything;
  if (!has('namespaceSelector')) return pods ? [selectorPeer(context, pods.and(inNamespace(context.scope.namespace!)))] : [];
  const namespaces = parseSelector(reader, fields['namespaceSelector'], `${path}.namespaceSelector`, { ...kubernetesSelector, prefix: labelKeys.namespaceLabels });
  // A negative requirement alone would hold for the world, which has no namespace: only pods are meant.
  return pods && namespaces ? [selectorPeer(context, pods.and(...namespaces.requirements, hasNamespace))] : [];
}

function selectorPeer(context: RuleContext, selector: EndpointSelector): Peer {
  return { type: 'selector', selector: scopeCluster(selector, context.scope) };
}

function parseIpBlock(reader: FieldReader, value: unknown, path: string): readonly Peer[] {
  const fields = reader.object(value, path, ['cidr', 'except']);
  if (!fields?.['cidr']) return reader.fail(`${path}.cidr`, 'cidr is required', 'write address/length') ?? [];
  return parseCidrRule(reader, fields as Fields, path);
}

function parsePort(context: RuleContext, value: unknown, path: string): readonly PortMatch[] | undefined {
  const { reader } = context;
  const fields = reader.object(value, path, ['port', 'endPort', 'protocol']);
  if (!fields) return reader.fail(path, 'must be an object', 'give port and protocol');
  const name = reader.oneOf(fields['protocol'], `${path}.protocol`, ['TCP', 'UDP', 'SCTP']) ?? 'TCP';
  const protocol = protocols[name];
  const endPort = reader.integer(fields['endPort'], `${path}.endPort`, 1, 2 ** 31 - 1);
  const raw = fields['port'];
  if (raw === undefined || raw === null) {
    if (endPort !== undefined) return reader.fail(`${path}.endPort`, 'may not be specified when `port` is not specified', 'write the first port');
    return [{ protocol, start: 0, end: maxPort }];
  }
  if (typeof raw === 'string') {
    if (endPort !== undefined) return reader.fail(`${path}.endPort`, 'may not be specified when `port` is non-numeric', 'write the first port as a number');
    return isServiceName(raw) ? [{ protocol, name: raw.toLowerCase() }] : reader.fail(`${path}.port`, `"${raw}" is not a port name`, 'at most 15 letters, digits and "-" with a letter in it; numbers stand without quotes');
  }
  const port = reader.integer(raw, `${path}.port`, 1, maxPort);
  if (port === undefined) return undefined;
  if (endPort !== undefined && endPort < port) return reader.fail(`${path}.endPort`, 'must be greater than or equal to `port`', 'write the larger number as endPort');
  // The API refuses such numbers today; objects stored before it did mean "to the last port".
  if (endPort !== undefined && endPort > maxPort) {
    context.conditions.push({ type: 'EndPortTooLarge', severity: 'warning', path: `${path}.endPort`, message: `there is no port ${endPort}: taken as ${maxPort}` });
  }
  return [{ protocol, start: port, end: Math.min(endPort ?? port, maxPort) }];
}
