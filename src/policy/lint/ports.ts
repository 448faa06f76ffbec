/** Ports that nobody listens on, and the service's port where the pod's is meant. */
import { EndpointSelector } from '../../model/selector.ts';
import { entryPath, valueAt } from '../edit.ts';
import { protocolNumber } from '../matchers.ts';
import type { PolicySpec, PortMatch, Rule } from '../policy.ts';
import { kubernetesLabels } from '../scenario.ts';
import type { ScenarioPod, ScenarioService } from '../scenario.ts';
import type { World } from '../world.ts';
import type { Checked } from './finding.ts';
import { fieldsOf, listOf } from './finding.ts';

/** Wider ranges are meant as ranges, not as a list of listeners. */
const widestRange = 1000;

export function checkPorts(checked: Checked): void {
  const { world, policy } = checked;
  for (const spec of policy.specs) {
    for (const rule of spec.rules) {
      if (rule.ports === 'any' || rule.effect === 'deny' || rule.effect === 'pass' || spec.selectsNodes) continue;
      const listeners = listenersOf(world, spec, rule);
      // A pod without declared ports may listen on any: nothing can be said.
      if (listeners.length === 0 || listeners.some(pod => pod.ports.length === 0)) continue;
      for (const [text, matches] of byNumber(rule.ports)) checkOne(checked, rule, text, matches, listeners);
    }
  }
}

function listenersOf(world: World, spec: PolicySpec, rule: Rule): readonly ScenarioPod[] {
  const pods = world.scenario.pods.filter(pod => !pod.hostNetwork);
  if (rule.direction === 'ingress') return pods.filter(pod => spec.subject.matches(pod.labels));
  if (rule.peers === 'any' || rule.peers.some(p => p.type !== 'selector' || p.written !== undefined)) return [];
  return pods.filter(pod => rule.peers !== 'any' && rule.peers.some(p => p.type === 'selector' && p.selector.matches(pod.labels)));
}

/** A port without a protocol is three matches and one line. */
function byNumber(ports: readonly PortMatch[]): ReadonlyMap<string, readonly PortMatch[]> {
  const grouped = new Map<string, PortMatch[]>();
  for (const port of ports) {
    if (port.protocol === 1 || port.protocol === 58) continue;
    const text = 'name' in port ? port.name : port.start === port.end ? `${port.start}` : `${port.start}-${port.end}`;
    grouped.set(text, [...(grouped.get(text) ?? []), port]);
  }
  return grouped;
}

function checkOne({ world, source, report }: Checked, rule: Rule, text: string, matches: readonly PortMatch[], listeners: readonly ScenarioPod[]): void {
  const listens = (match: PortMatch) => listeners.some(pod => pod.ports.some(p => protocolNumber(p.protocol) === match.protocol
    && ('name' in match ? p.name?.toLowerCase() === match.name : match.start <= p.port && p.port <= match.end)));
  if (matches.some(listens)) return;
  const first = matches[0]!;
  const field = portField(source.object, rule, text);
  const declared = [...new Set(listeners.flatMap(pod => pod.ports.map(p => `${p.name === undefined ? '' : `${p.name}=`}${p.port}/${p.protocol}`)))];
  const who = rule.direction === 'ingress' ? 'the selected pods' : 'the peers';
  if ('name' in first) {
    report('port-name-unknown', 'error', field, `no container of ${who} has a port named "${text}": the rule opens nothing`, `declared there: ${declared.join(', ')}`);
    return;
  }
  if (first.end - first.start > widestRange) return;
  const service = world.scenario.services.find(s => isServicePort(s, first, listeners));
  if (service) {
    const target = service.ports.find(p => p.port === first.start)!.targetPort;
    report('service-port', 'error', field, `${text} is the port of service ${service.namespace}/${service.name}; policies see the pod's port, ${target}: the rule opens a port that nobody listens on`, `write ${target} instead of ${text}`);
    return;
  }
  report('port-not-listening', 'warning', field, `no container of ${who} declares port ${text}`, `declared there: ${declared.slice(0, 8).join(', ')}`);
}

function isServicePort(service: ScenarioService, match: Extract<PortMatch, { start: number }>, pods: readonly ScenarioPod[]): boolean {
  const selector = Object.entries(service.selector ?? {});
  if (selector.length === 0) return false;
  const wanted = EndpointSelector.ofMatchLabels(Object.fromEntries(selector), 'k8s');
  return service.ports.some(p => p.port === match.start && p.targetPort !== p.port) && pods.some(pod => pod.namespace === service.namespace && wanted.matches(kubernetesLabels(pod.ownLabels)));
}

function portField(object: unknown, rule: Rule, text: string): string {
  const entry = entryPath(rule.path);
  const is = (port: unknown) => String(fieldsOf(port)['port']).toLowerCase() === text.split('-')[0];
  const ordered = orderedPortField(object, entry, text);
  if (ordered !== undefined) return ordered;
  const plain = listOf(valueAt(object, `${entry}.ports`)).findIndex(is);
  if (plain >= 0) return `${entry}.ports[${plain}].port`;
  for (const [i, block] of listOf(valueAt(object, `${entry}.toPorts`)).entries()) {
    const index = listOf(fieldsOf(block)['ports']).findIndex(is);
    if (index >= 0) return `${entry}.toPorts[${i}].ports[${index}].port`;
  }
  return entry;
}

/** In the kinds whose rules are ordered a port is a mapping of one field, which holds the number or name somewhere within. */
function orderedPortField(object: unknown, entry: string, text: string): string | undefined {
  const first = text.split('-')[0];
  const holds = (value: unknown): boolean => (typeof value === 'object' && value !== null ? Object.values(value).some(holds) : String(value).toLowerCase() === first);
  for (const name of ['ports', 'protocols']) {
    const list = listOf(valueAt(object, `${entry}.${name}`)).map(fieldsOf);
    const index = list.findIndex(item => ['portNumber', 'namedPort', 'portRange', 'tcp', 'udp', 'sctp', 'destinationNamedPort'].some(key => holds(item[key])));
    if (index >= 0) return `${entry}.${name}[${index}]`;
  }
  return undefined;
}
