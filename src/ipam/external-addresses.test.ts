import test from 'node:test';
import assert from 'node:assert/strict';
import { parsePrefix } from '../std/ip.ts';
import { ExternalAddresses, type ExternalClaim } from './external-addresses.ts';
import { poolRanges } from './service-pool.ts';

const grounds = {
  clusterRanges: [{ what: 'the pods\' addresses', prefix: parsePrefix('10.244.0.0/16') }, { what: 'the service range', prefix: parsePrefix('10.96.0.0/16') }],
  allowed: [parsePrefix('198.51.100.0/28')],
};

function addresses(): ExternalAddresses {
  const external = new ExternalAddresses(grounds);
  external.setNodes([['172.30.1.11', 'node node1'], ['172.30.1.1', 'the API server']]);
  external.setPools([{ name: 'p', createdAt: '', disabled: false, selects: labels => labels['team'] !== 'none', ...poolRanges({ blocks: [{ cidr: '192.0.2.0/24' }, { cidr: '2001:db8::/112' }] }) }]);
  return external;
}

const claim = (key: string, more: Partial<Omit<ExternalClaim, 'request'>> & { readonly ports?: readonly string[]; readonly sharingKey?: string; readonly team?: string } = {}): ExternalClaim => {
  const [namespace = '', name = ''] = key.split('/');
  return {
    request: {
      key, namespace, labels: { name, ...(more.team ? { team: more.team } : {}) }, families: ['IPv4'], wanted: [], ports: more.ports ?? ['80/TCP'], externalTrafficPolicy: 'Cluster', selector: '',
      shareWith: more.sharingKey ? ['*'] : [], ...(more.sharingKey ? { sharingKey: more.sharingKey } : {}),
    },
    createdAt: more.createdAt ?? '2026-01-01T00:00:00Z', externalIPs: more.externalIPs ?? [], ingress: more.ingress ?? [], assigned: more.assigned ?? false, held: more.held ?? [],
  };
};

const reasonFor = (address: string, more: Parameters<typeof claim>[1] = {}): string | undefined => {
  const external = addresses();
  external.update('n/a', claim('n/a', { externalIPs: [address], ...more }));
  return external.rowOf('n/a')!.refused[0]?.reason;
};

test('an address in a pool that selects the service, or in a prefix that is allowed, is served; every other one is refused with its reason', () => {
  assert.equal(reasonFor('192.0.2.7'), undefined);
  assert.equal(reasonFor('2001:db8::7'), undefined);
  assert.equal(reasonFor('198.51.100.3'), undefined);
  assert.equal(reasonFor('192.0.2.7', { team: 'none' }), 'NotInPool', 'a pool for others');
  const wrong: Record<string, readonly string[]> = {
    NotInPool: ['8.8.8.8', '198.51.100.16', '2001:db8:1::7'],
    NodeAddress: ['172.30.1.11', '172.30.1.1'],
    ClusterAddress: ['10.244.1.5', '10.96.0.1', '::ffff:10.96.0.10'],
    ReservedAddress: ['127.0.0.1', '169.254.169.254', '0.0.0.0', '224.0.0.1', '255.255.255.255', '::1', 'fe80::1', 'ff02::1', '::', '::ffff:127.0.0.1'],
    InvalidAddress: ['nonsense', '1.2.3.4/32'],
  };
  for (const [reason, list] of Object.entries(wrong)) for (const address of list) assert.equal(reasonFor(address), reason, address);
});

test('what the operator of the cluster allows or pools does not open the cluster\'s own addresses', () => {
  const external = new ExternalAddresses({ ...grounds, allowed: [parsePrefix('0.0.0.0/0'), parsePrefix('::/0')] });
  external.setNodes([['172.30.1.11', 'node node1']]);
  external.update('n/a', claim('n/a', { externalIPs: ['8.8.8.8', '172.30.1.11', '10.96.0.1', '127.0.0.1'], ingress: ['10.244.0.1'] }));
  const row = external.rowOf('n/a')!;
  assert.deepEqual(row.externalIPs, ['8.8.8.8']);
  assert.deepEqual(row.refused.map(r => r.field), ['spec.externalIPs[1]', 'spec.externalIPs[2]', 'spec.externalIPs[3]', 'status.loadBalancer.ingress[0]']);
});

test('of several claims to one address the first counts: an assigned one, then the oldest, then by name; the next one follows when it goes', () => {
  const external = addresses();
  const served = () => ['n/a', 'm/b', 'm/c', 'm/d'].filter(key => [...external.rowOf(key)?.externalIPs ?? [], ...external.rowOf(key)?.ingress ?? []].length > 0);
  external.update('m/c', claim('m/c', { externalIPs: ['192.0.2.7'] }));
  assert.deepEqual(served(), ['m/c']);
  assert.deepEqual([...external.update('m/b', claim('m/b', { externalIPs: ['192.0.2.7'] }))].sort(), ['m/b', 'm/c'], 'both are to be looked at');
  assert.deepEqual(served(), ['m/b'], 'of equal age, by name');
  external.update('n/a', claim('n/a', { externalIPs: ['192.0.2.7'], createdAt: '2025-01-01T00:00:00Z' }));
  assert.deepEqual(served(), ['n/a'], 'the oldest');
  external.update('m/d', claim('m/d', { ingress: ['192.0.2.7'], assigned: true, createdAt: '2026-09-01T00:00:00Z' }));
  assert.deepEqual(served(), ['m/d'], 'the one to which it was assigned, however young');
  assert.match(external.rowOf('n/a')!.refused[0]!.message, /192.0.2.7 is held by service m\/d/);
  external.update('m/d', undefined);
  external.update('n/a', undefined);
  assert.deepEqual(served(), ['m/b']);
});

test('an old service does not take what a younger one has had, by naming it later', () => {
  const external = addresses();
  external.update('n/young', claim('n/young', { externalIPs: ['192.0.2.7'], held: ['192.0.2.7'], createdAt: '2026-09-01T00:00:00Z' }));
  external.update('m/old', claim('m/old', { externalIPs: ['192.0.2.7'], createdAt: '2020-01-01T00:00:00Z' }));
  assert.deepEqual(external.rowOf('n/young')!.externalIPs, ['192.0.2.7']);
  assert.equal(external.rowOf('m/old')!.refused[0]!.reason, 'HeldByAnother');
  external.update('n/young', claim('n/young', { externalIPs: [], held: ['192.0.2.7'] }));
  assert.deepEqual(external.rowOf('m/old')!.externalIPs, ['192.0.2.7'], 'what it no longer names it does not keep');
});

test('who may not have an address keeps nobody from it', () => {
  const external = addresses();
  external.update('n/a', claim('n/a', { externalIPs: ['192.0.2.7'], team: 'none', createdAt: '2020-01-01T00:00:00Z' }));
  external.update('m/b', claim('m/b', { externalIPs: ['192.0.2.7'] }));
  assert.deepEqual(external.rowOf('m/b')!.externalIPs, ['192.0.2.7']);
  assert.equal(external.heldExternally('192.0.2.7', 'x/x'), true);
  assert.equal(external.heldExternally('192.0.2.7', 'm/b'), false);
});

test('services stand beside each other on one address with other ports in one namespace, and across namespaces where both share', () => {
  const both = (first: ExternalClaim, second: ExternalClaim) => {
    const external = addresses();
    for (const each of [first, second]) external.update(each.request.key, each);
    return external.rowOf(second.request.key)!.refused.length === 0;
  };
  const ip = ['192.0.2.7'];
  assert.equal(both(claim('n/a', { externalIPs: ip }), claim('n/b', { externalIPs: ip, ports: ['443/TCP'] })), true);
  assert.equal(both(claim('n/a', { externalIPs: ip }), claim('n/b', { externalIPs: ip })), false);
  assert.equal(both(claim('m/a', { externalIPs: ip }), claim('n/b', { externalIPs: ip, ports: ['443/TCP'] })), false);
  assert.equal(both(claim('m/a', { ingress: ip, sharingKey: 'k' }), claim('n/b', { ingress: ip, ports: ['443/TCP'], sharingKey: 'k' })), true);
});
