import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { addressesOf, allocateServiceIps, takenBy } from './service-addresses.ts';
import type { ServiceAddressSpec, TakenAddresses } from './service-addresses.ts';

const ranges = { serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112' };
const nothing: TakenAddresses = { ips: new Set(), nodePorts: new Set() };
const given = (spec: ServiceAddressSpec, taken = nothing, where = ranges) => {
  const result = allocateServiceIps(spec, taken, where, () => 0);
  assert.ok('spec' in result, JSON.stringify(result));
  return result.spec;
};
const refused = (spec: ServiceAddressSpec, taken = nothing, where = ranges) => {
  const result = allocateServiceIps(spec, taken, where, () => 0);
  assert.ok('errors' in result, JSON.stringify(result));
  return `${result.errors[0]!.field}: ${result.errors[0]!.message}`;
};
const ports = [{ port: 80 }];

test('families follow the policy, the names and the addresses asked for', () => {
  assert.deepEqual(given({ ports }), { clusterIP: '10.96.1.1', clusterIPs: ['10.96.1.1'], ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack', ports });
  assert.deepEqual(given({ ipFamilyPolicy: 'PreferDualStack' }).clusterIPs, ['10.96.1.1', 'fd00:10:96::101']);
  assert.deepEqual(given({ ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6'] }).ipFamilies, ['IPv6', 'IPv4']);
  assert.deepEqual(given({ clusterIP: 'fd00:10:96::7' }), { clusterIP: 'fd00:10:96::7', clusterIPs: ['fd00:10:96::7'], ipFamilies: ['IPv6'], ipFamilyPolicy: 'SingleStack' });
  assert.deepEqual(given({ clusterIP: 'None', selector: { a: 'b' } }), { clusterIP: 'None', clusterIPs: ['None'], ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' });
  assert.deepEqual(given({ clusterIP: 'None' }).ipFamilies, ['IPv4', 'IPv6']);
  assert.deepEqual(given({ type: 'ExternalName' }), {});
});

test('what cannot be given is refused with its field', () => {
  assert.match(refused({ clusterIP: '10.97.0.1' }), /^spec.clusterIPs\[0\]: 10.97.0.1 is not in the service range/);
  assert.match(refused({ clusterIP: '10.96.0.9' }, { ips: new Set(['10.96.0.9']), nodePorts: new Set() }), /already allocated/);
  assert.match(refused({ clusterIP: 'one.two' }), /not an IP address/);
  assert.match(refused({ clusterIPs: ['10.96.0.1', '10.96.0.2'] }), /must differ/);
  assert.match(refused({ type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }), /^spec.ports\[0\].nodePort: 80 is not in the node port range/);
  assert.match(refused({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_000 }] }, { ips: new Set(), nodePorts: new Set(['TCP/30000']) }), /already allocated/);
});

test('node ports: asked for ones stay, one port over TCP and UDP gets one number, a health check gets its own', () => {
  const both = given({ type: 'NodePort', ports: [{ port: 53, protocol: 'UDP' }, { port: 53 }, { port: 80, nodePort: 31_000 }] });
  const numbers = both.ports!.map(p => p.nodePort);
  assert.equal(numbers[0], numbers[1]);
  assert.equal(numbers[2], 31_000);
  const local = given({ type: 'LoadBalancer', externalTrafficPolicy: 'Local', ports });
  assert.notEqual(local.healthCheckNodePort, local.ports![0]!.nodePort);
  assert.equal(given({ type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports }).ports![0], ports[0]);
});

test('a small range is given out to its last address, never twice, and then it is full', () => {
  const where = { ...ranges, serviceCidr4: '10.96.0.0/28' };
  fc.assert(fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })), random => {
    const services: { metadata: { uid: string }; spec: ServiceAddressSpec }[] = [];
    for (let i = 0; i < 14; i++) {
      const result = allocateServiceIps({ type: 'NodePort', ports }, takenBy(services), where, () => random.next().value as number);
      assert.ok('spec' in result);
      services.push({ metadata: { uid: String(i) }, spec: result.spec });
    }
    const held = services.map(s => addressesOf(s.spec));
    assert.equal(new Set(held.flatMap(h => h.ips)).size, 14);
    assert.equal(new Set(held.flatMap(h => h.nodePorts)).size, 14);
    assert.match(refused({}, takenBy(services), where), /is full/);
  }), { numRuns: 30 });
});
