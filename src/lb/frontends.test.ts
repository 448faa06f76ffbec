import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { frontends, serving } from './frontends.ts';
import type { EndpointInput, ServiceInput, SliceInput } from './frontends.ts';

const service = (spec: Partial<ServiceInput['spec']> = {}): ServiceInput => ({
  metadata: { name: 'web', namespace: 'shop' },
  spec: { clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9', 'fd00:10:96::9'], ports: [{ name: 'http', port: 80 }, { name: 'dns', port: 53, protocol: 'UDP' }], ...spec },
});
const slice = (endpoints: readonly EndpointInput[], addressType = 'IPv4'): SliceInput =>
  ({ addressType, endpoints, ports: [{ name: 'http', port: 8080, protocol: 'TCP' }, { name: 'dns', port: 5353, protocol: 'UDP' }] });
const endpoint = (ip: string, conditions: EndpointInput['conditions'] = { ready: true }, nodeName = 'n1'): EndpointInput => ({ addresses: [ip], conditions, nodeName });
const here = { nodeName: 'n1' };
const backends = (slices: readonly SliceInput[], spec: Partial<ServiceInput['spec']> = {}) =>
  frontends(service(spec), slices, here).find(r => r.key === '10.96.0.9:80/TCP')!.backends.map(b => `${b.key} ${b.state}`);

test('a frontend for each address and port, with the endpoints of its family', () => {
  const rows = frontends(service(), [slice([endpoint('10.244.1.5')]), slice([endpoint('fd00::5')], 'IPv6')], here);
  assert.deepEqual(rows.map(r => `${r.key} ${r.protocol} ← ${r.backends.map(b => b.key)}`), [
    '10.96.0.9:80/TCP 6 ← 10.244.1.5:8080/TCP',
    '10.96.0.9:53/UDP 17 ← 10.244.1.5:5353/UDP',
    '[fd00:10:96::9]:80/TCP 6 ← [fd00::5]:8080/TCP',
    '[fd00:10:96::9]:53/UDP 17 ← [fd00::5]:5353/UDP',
  ]);
});

test('headless services and ExternalName have no frontend', () => {
  assert.deepEqual(frontends(service({ clusterIP: 'None', clusterIPs: ['None'] }), [], here), []);
  assert.deepEqual(frontends(service({ type: 'ExternalName' }), [], here), []);
});

test('absent conditions mean ready; what is not ready serves nobody, unless it only terminates', () => {
  const slices = [slice([
    { addresses: ['10.0.0.1'] },
    endpoint('10.0.0.2', { ready: false }),
    endpoint('10.0.0.3', { ready: false, serving: true, terminating: true }),
    endpoint('10.0.0.4', { ready: false, serving: false, terminating: true }),
  ])];
  assert.deepEqual(backends(slices), ['10.0.0.1:8080/TCP active', '10.0.0.3:8080/TCP terminating']);
  const [row] = frontends(service(), slices, here);
  assert.deepEqual(serving(row!).map(b => b.key), ['10.0.0.1:8080/TCP']);
});

test('terminating endpoints take new connections only when nothing else serves', () => {
  const [row] = frontends(service(), [slice([endpoint('10.0.0.3', { ready: false, serving: true, terminating: true })])], here);
  assert.deepEqual(serving(row!).map(b => b.key), ['10.0.0.3:8080/TCP']);
});

test('internalTrafficPolicy Local knows only this node, and has nobody where this node has nobody', () => {
  const slices = [slice([endpoint('10.0.0.1', { ready: true }, 'n2'), endpoint('10.0.0.2', { ready: true }, 'n1')])];
  assert.deepEqual(backends(slices, { internalTrafficPolicy: 'Local' }), ['10.0.0.2:8080/TCP active']);
  assert.deepEqual(backends([slice([endpoint('10.0.0.1', { ready: true }, 'n2')])], { internalTrafficPolicy: 'Local' }), []);
});

test('affinity lasts three hours unless told otherwise', () => {
  const of = (spec: Partial<ServiceInput['spec']>) => frontends(service(spec), [], here)[0]!.affinityTimeout;
  assert.deepEqual([of({}), of({ sessionAffinity: 'ClientIP' }), of({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } } })], [0, 10_800, 60]);
});

test('the order of slices and endpoints does not matter, nor an endpoint that stands in two slices', () => {
  const pool = [1, 2, 3, 4].flatMap(n => [endpoint(`10.0.0.${n}`), endpoint(`10.0.0.${n}`, { ready: false, serving: true, terminating: true })]);
  fc.assert(fc.property(fc.array(fc.subarray(pool), { maxLength: 3 }), fc.infiniteStream(fc.nat()), (groups, random) => {
    const shuffled = <T>(list: readonly T[]) => list.map(x => ({ x, at: random.next().value as number })).sort((a, b) => a.at - b.at).map(e => e.x);
    assert.deepEqual(backends(shuffled(groups.map(g => slice(shuffled(g))))), backends(groups.map(g => slice(g))));
  }));
});
