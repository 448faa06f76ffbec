import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileFilters } from '../../flows/filter.ts';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import type { WebFilter } from '../../model/web.ts';
import { flowFilters, withoutFilters } from './flow-filter.ts';

const end = (namespace: string, podName: string, ip: string): FlowEndpoint => ({ ip, identity: 1, id: 0, namespace, podName, labels: [`k8s:app=${podName}`, `k8s:team=${namespace}`] });
const ends = ['a', 'b', 'c'].flatMap(namespace => ['web', 'web-2', 'db'].map((name, i) => end(namespace, name, `10.0.${namespace.charCodeAt(0)}.${i}`)));
const flows = ends.flatMap(source => ends.map((destination): Flow => ({
  id: 'x', time: '', nodeName: 'n', verdict: source.namespace === destination.namespace ? 'FORWARDED' : 'DROPPED', type: 'trace', direction: 'INGRESS', isReply: false, ipVersion: 'IPv4', protocol: 'TCP', source, destination, sourcePort: 40_000, destinationPort: destination.podName === 'db' ? 5432 : 80, summary: '',
})));

const either = (flow: Flow, matches: (one: FlowEndpoint) => boolean) => matches(flow.source) || matches(flow.destination);

/** Each field by itself, as the words on the page say. */
function naive(flow: Flow, filter: WebFilter, scope: readonly string[] | undefined): boolean {
  const { namespace, label, verdict, protocol, text } = filter;
  return (scope === undefined || either(flow, one => scope.includes(one.namespace!)))
    && (namespace === undefined || either(flow, one => one.namespace === namespace))
    && (label === undefined || either(flow, one => one.labels.includes(`k8s:${label}`)))
    && (verdict === undefined || flow.verdict === verdict) && (protocol === undefined || flow.protocol === protocol)
    && (text === undefined || (/^\d+$/.test(text) ? [flow.sourcePort, flow.destinationPort].includes(Number(text)) : either(flow, one => (text.includes('/') ? `${one.namespace}/${one.podName}`.startsWith(text) : one.podName!.startsWith(text)))));
}

test('what the nodes are asked for is what the filters say', () => {
  const optional = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
  const filters = fc.record({
    namespace: optional('a', 'b'), label: optional('app=web', 'team=a'), verdict: optional('FORWARDED' as const, 'DROPPED' as const), protocol: optional('TCP', 'UDP'), text: optional('web', 'db', '5432', 'a/we', 'c/'),
  }, { requiredKeys: [] });
  const defined = (filter: object) => Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as WebFilter;
  fc.assert(fc.property(filters, fc.option(fc.constantFrom<readonly string[]>(['a'], ['b', 'c'], []), { nil: undefined }), (given, scope) => {
    const filter = { ...defined(given), events: 'all' as const };
    const whitelist = flowFilters(filter, scope);
    const matches = whitelist === undefined ? () => false : compileFilters(whitelist, []);
    assert.deepEqual(flows.filter(matches).length, flows.filter(flow => naive(flow, filter, scope)).length, JSON.stringify([filter, scope, whitelist]));
  }), { numRuns: 400 });
});

test('of a connection one flow is shown, and of a denial one; lookups of names are left out unless they were denied', () => {
  const [web, db] = [ends[0]!, ends[2]!];
  const world: FlowEndpoint = { ip: '192.0.2.1', identity: 2, id: 0, labels: ['reserved:world'] };
  const made = (id: string, change: Partial<Flow>): Flow => ({ ...flows[0]!, source: { ...web, labels: ['k8s:io.kubernetes.pod.namespace=a'] }, destination: { ...db, labels: ['k8s:io.kubernetes.pod.namespace=a'] }, destinationPort: 5432, verdict: 'FORWARDED', id, ...change });
  const lookup = { protocol: 'UDP', destinationPort: 53 } as const;
  const told = [
    made('leaves', { type: 'policy-verdict', direction: 'EGRESS' }), made('arrives', { type: 'policy-verdict' }), made('syn', { type: 'trace' }), made('answer', { type: 'trace', isReply: true }),
    made('to the world', { type: 'policy-verdict', direction: 'EGRESS', destination: world }), made('audited', { type: 'policy-verdict', direction: 'EGRESS', verdict: 'AUDIT' }),
    made('drop', { type: 'drop', verdict: 'DROPPED' }), made('its verdict', { type: 'policy-verdict', verdict: 'DROPPED' }),
    made('lookup', { type: 'policy-verdict', ...lookup }), made('denied lookup', { type: 'drop', verdict: 'DROPPED', ...lookup }),
  ];
  const shown = (filter: WebFilter) => told.filter(compileFilters(flowFilters(filter)!, withoutFilters(filter))).map(flow => flow.id);
  assert.deepEqual(shown({}), ['arrives', 'to the world', 'audited', 'drop', 'denied lookup']);
  assert.deepEqual(shown({ dns: true }), ['arrives', 'to the world', 'audited', 'drop', 'lookup', 'denied lookup']);
  assert.deepEqual(shown({ verdict: 'DROPPED' }), ['drop', 'denied lookup']);
  assert.deepEqual(shown({ events: 'all', dns: true }), told.map(flow => flow.id));
});
