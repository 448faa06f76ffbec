import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parsePrefix } from '../std/ip.ts';
import { cannotShare, ServiceAddresses, type AddressRequest } from './service-addresses.ts';
import { poolConflicts, poolRanges, type PoolSpec, type ServicePool } from './service-pool.ts';

const pool = (name: string, blocks: PoolSpec['blocks'] & object, more: Partial<ServicePool> & { allowFirstLastIPs?: string } = {}): ServicePool => ({
  name, createdAt: '2026-01-01T00:00:00Z', disabled: false, selects: () => true,
  ...poolRanges({ blocks, ...(more.allowFirstLastIPs ? { allowFirstLastIPs: more.allowFirstLastIPs } : {}) }), ...more,
});

const request = (name: string, more: Partial<AddressRequest> = {}): AddressRequest => {
  const namespace = more.namespace ?? 'n';
  return {
    key: `${namespace}/${name}`, namespace, labels: { 'io.kubernetes.service.name': name, 'io.kubernetes.service.namespace': namespace },
    families: ['IPv4'], wanted: [], shareWith: [], ports: ['80/TCP'], externalTrafficPolicy: 'Cluster', selector: 'app=web', ...more,
  };
};

const dual = pool('dual', [{ cidr: '192.0.2.0/29' }, { start: '2001:db8::10', stop: '2001:db8::12' }]);

function allocator(...pools: ServicePool[]): ServiceAddresses {
  const addresses = new ServiceAddresses();
  addresses.setPools(pools, new Set(poolConflicts(pools, []).keys()));
  return addresses;
}

test('a service gets one address of each family that it asks for, and keeps it', () => {
  const a = allocator(dual);
  const first = a.assign(request('web', { families: ['IPv6', 'IPv4'] }));
  assert.deepEqual(first.addresses, ['2001:db8::10', '192.0.2.0']);
  assert.deepEqual(a.assign(request('web', { families: ['IPv6', 'IPv4'] })).addresses, first.addresses);
  assert.deepEqual(a.assign(request('web', { families: ['IPv6'] })).addresses, ['2001:db8::10'], 'what it no longer asks for goes');
  assert.deepEqual(a.countsOf('dual'), { total: 11n, used: 1n, available: 10n });
});

test('a family without a pool is said, and the other one is served all the same', () => {
  const a = allocator(pool('v4', [{ cidr: '192.0.2.0/29' }]));
  const { addresses, satisfied, reason, message } = a.assign(request('web', { families: ['IPv4', 'IPv6'] }));
  assert.deepEqual([addresses, satisfied, reason], [['192.0.2.0'], false, 'no_pool']);
  assert.match(message, /no enabled CiliumLoadBalancerIPPools with IPv6 addresses/);
});

test('first and last addresses of a range are left out where the pool says so, never of a /31 or /32, nor of start and stop', () => {
  const of = (blocks: PoolSpec['blocks'] & object) => {
    const a = allocator(pool('p', blocks, { allowFirstLastIPs: 'No' }));
    return [1, 2, 3, 4].flatMap(n => a.assign(request(`s${n}`)).addresses);
  };
  assert.deepEqual(of([{ cidr: '192.0.2.0/30' }]), ['192.0.2.1', '192.0.2.2']);
  assert.deepEqual(of([{ cidr: '192.0.2.0/31' }]), ['192.0.2.0', '192.0.2.1']);
  assert.deepEqual(of([{ start: '192.0.2.7', stop: '192.0.2.8' }]), ['192.0.2.7', '192.0.2.8']);
  assert.deepEqual(of([{ start: '192.0.2.7' }]), ['192.0.2.7']);
});

test('a freed address rests until all others have been used, and then goes to who waits', () => {
  const a = allocator(pool('p', [{ start: '192.0.2.1', stop: '192.0.2.3' }]));
  assert.deepEqual(a.assign(request('a')).addresses, ['192.0.2.1']);
  assert.equal(a.release('n/a'), true);
  assert.deepEqual(['b', 'c', 'd'].flatMap(name => a.assign(request(name)).addresses), ['192.0.2.2', '192.0.2.3', '192.0.2.1']);
  assert.equal(a.assign(request('e')).reason, 'out_of_ips');
  a.release('n/c');
  assert.deepEqual(a.assign(request('e')).addresses, ['192.0.2.3']);
});

test('addresses asked for by name are given, or it is said why not', () => {
  const a = allocator(dual);
  assert.deepEqual(a.assign(request('a', { families: ['IPv4', 'IPv6'], wanted: ['192.0.2.5', '2001:db8::11'] })).addresses, ['192.0.2.5', '2001:db8::11']);
  assert.match(a.assign(request('b', { wanted: ['192.0.2.5'] })).message, /'192.0.2.5' is already allocated to another service: n\/a has it/);
  assert.equal(a.assign(request('c', { wanted: ['198.51.100.1'] })).reason, 'not_in_pool');
  assert.match(a.assign(request('c', { wanted: ['2001:db8::12'] })).message, /'2001:db8::12' is of IPv6, which the service has not/);
  assert.match(a.assign(request('d', { wanted: ['nonsense'] })).message, /"nonsense" is not an IP address/);
  assert.deepEqual(a.assign(request('a', { wanted: ['192.0.2.6'] })).addresses, ['192.0.2.6'], 'another wish frees the first');
  assert.deepEqual(a.assign(request('b', { wanted: ['192.0.2.5'] })).addresses, ['192.0.2.5']);
});

test('an address that another service has as an external IP is not given out', () => {
  const a = new ServiceAddresses((address, key) => address === '192.0.2.0' && key !== 'n/owner');
  a.setPools([dual], new Set());
  assert.deepEqual(a.assign(request('a')).addresses, ['192.0.2.1']);
  assert.equal(a.assign(request('b', { wanted: ['192.0.2.0'] })).reason, 'already_allocated');
  assert.deepEqual(a.assign(request('owner', { wanted: ['192.0.2.0'] })).addresses, ['192.0.2.0']);
});

test('two services share an address only where nothing speaks against it', () => {
  const a = request('a', { sharingKey: 'k' });
  const with80 = (more: Partial<AddressRequest>) => cannotShare(a, request('b', { sharingKey: 'k', ports: ['443/TCP'], ...more }));
  assert.equal(with80({}), undefined);
  assert.equal(with80({ ports: ['80/UDP'] }), undefined, 'another protocol is another port');
  assert.match(with80({ ports: ['80/TCP'] })!, /port 80\/TCP/);
  assert.match(with80({ sharingKey: 'other' })!, /sharing key/);
  assert.match(cannotShare(request('a'), request('b'))!, /sharing key/);
  assert.match(with80({ externalTrafficPolicy: 'Local' })!, /externalTrafficPolicy/);
  const local = { sharingKey: 'k', externalTrafficPolicy: 'Local' };
  assert.match(cannotShare(request('a', local), request('b', { ...local, ports: ['1/TCP'], selector: 'app=other' }))!, /other pods/);
  const other = { namespace: 'm', shareWith: ['n'], sharingKey: 'k', ports: ['443/TCP'] };
  assert.match(cannotShare(a, request('b', other))!, /not both agree/);
  assert.equal(cannotShare(request('a', { sharingKey: 'k', shareWith: ['m'] }), request('b', other)), undefined);
  assert.equal(cannotShare(request('a', { sharingKey: 'k', shareWith: ['*'] }), request('b', other)), undefined);
});

test('a service that stops sharing gets an address of its own', () => {
  const a = allocator(dual);
  assert.deepEqual(a.assign(request('a', { sharingKey: 'k' })).addresses, ['192.0.2.0']);
  assert.deepEqual(a.assign(request('b', { sharingKey: 'k', ports: ['443/TCP'] })).addresses, ['192.0.2.0']);
  assert.deepEqual(a.assign(request('b', { sharingKey: 'k', ports: ['80/TCP'] })).addresses, ['192.0.2.1'], 'its ports collide now');
  assert.deepEqual(a.assign(request('c', { sharingKey: 'k', ports: ['81/TCP'] })).addresses, ['192.0.2.0']);
  assert.equal(a.countsOf('dual').used, 2n);
});

test('a pool that is gone, or no longer selects the service, takes its addresses back; one that is disabled does not', () => {
  const only = (name: string) => pool('p', [{ cidr: '192.0.2.0/29' }], { selects: labels => labels['io.kubernetes.service.name'] === name });
  const a = allocator(only('a'));
  assert.equal(a.assign(request('b')).reason, 'no_pool');
  assert.deepEqual(a.assign(request('a')).addresses, ['192.0.2.0']);
  a.setPools([{ ...only('a'), disabled: true }], new Set());
  assert.deepEqual(a.assign(request('a')).addresses, ['192.0.2.0']);
  assert.equal(a.assign(request('x', { labels: { 'io.kubernetes.service.name': 'a' } })).reason, 'no_pool', 'and gives nothing out');
  a.setPools([only('b')], new Set());
  assert.deepEqual(a.assign(request('a')).addresses, []);
  a.setPools([], new Set());
  assert.equal(a.countsOf('p').total, 0n);
});

test('of two pools that overlap the older one counts; one over the cluster\'s own ranges counts never', () => {
  const old = pool('old', [{ cidr: '192.0.2.0/24' }]);
  const young = pool('young', [{ start: '192.0.2.255', stop: '192.0.3.5' }], { createdAt: '2026-02-01T00:00:00Z' });
  const twice = pool('twice', [{ cidr: '203.0.113.0/25' }, { cidr: '203.0.113.0/26' }]);
  const pods = pool('pods', [{ cidr: '10.0.0.0/8' }]);
  const conflicts = poolConflicts([young, twice, pods, old], [{ what: 'the pods\' addresses', prefix: parsePrefix('10.244.0.0/16') }]);
  assert.deepEqual([...conflicts.keys()].sort(), ['pods', 'twice', 'young']);
  assert.match(conflicts.get('young')!, /overlaps 192.0.2.0\/24 from IP Pool 'old'/);
  assert.match(conflicts.get('pods')!, /the pods' addresses of the cluster/);
});

test('blocks that cannot be read give nothing and are named', () => {
  const { ranges, errors } = poolRanges({ blocks: [{ cidr: '192.0.2.0/99' }, { start: '192.0.2.9', stop: '192.0.2.1' }, { start: '192.0.2.1', stop: '::1' }, {}, { cidr: '192.0.2.0/30' }] });
  assert.equal(ranges.length, 1);
  assert.deepEqual(errors.map(e => e.split(':')[0]), ['spec.blocks[0]', 'spec.blocks[1]', 'spec.blocks[2]', 'spec.blocks[3]']);
});

test('whatever is asked, released and restarted: nobody shares who may not, and a restart moves nobody', () => {
  const services = fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), namespace: fc.constantFrom('n', 'm'),
    families: fc.constantFrom<AddressRequest['families']>(['IPv4'], ['IPv4', 'IPv6'], ['IPv6']),
    wanted: fc.constantFrom<string[]>([], [], [], ['192.0.2.1'], ['192.0.2.2', '2001:db8::11'], ['203.0.113.1']),
    sharingKey: fc.constantFrom(undefined, undefined, 'k', 'l'), shareWith: fc.constantFrom<string[]>([], ['*'], ['n'], ['m']),
    ports: fc.subarray(['80/TCP', '443/TCP', '53/UDP'], { minLength: 1 }), externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
  });
  const step = fc.oneof({ weight: 5, arbitrary: services.map(service => ({ service })) }, { weight: 2, arbitrary: services.map(({ name, namespace }) => ({ gone: `${namespace}/${name}` })) }, { weight: 1, arbitrary: fc.constant('restart' as const) });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), steps => {
    let a = allocator(dual);
    const asked = new Map<string, AddressRequest>();
    const has = new Map<string, readonly string[]>();
    const assign = (r: AddressRequest) => has.set(r.key, a.assign(r).addresses);
    for (const one of steps) {
      if (one === 'restart') {
        a = allocator(dual);
        for (const [key, r] of asked) a.adopt(r, has.get(key)!);
        for (const [key, r] of asked) {
          const before = has.get(key)!;
          assign(r);
          assert.deepEqual(has.get(key)!.filter(address => before.includes(address)), before, 'kept over the restart');
        }
      } else if ('gone' in one) {
        a.release(one.gone);
        asked.delete(one.gone);
        has.delete(one.gone);
      } else {
        const { sharingKey, name, ...more } = one.service;
        const r = request(name, { ...more, ...(sharingKey ? { sharingKey } : {}) });
        asked.set(r.key, r);
        assign(r);
      }
      for (const [key, addresses] of has) for (const address of addresses) {
        assert.ok(a.holdersOf(address).includes(key));
        for (const other of a.holdersOf(address)) if (other !== key) assert.equal(cannotShare(asked.get(key)!, asked.get(other)!), undefined, `${key} and ${other} on ${address}`);
      }
      assert.equal(a.countsOf('dual').used, BigInt(new Set([...has.values()].flat()).size));
    }
  }), { numRuns: 300 });
});
