import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import { createLogger } from '../../std/log.ts';
import { createNetns, deleteNetns, netnsCookie, openNetns, withNetns } from '../../sys/netns.ts';
import { Table } from '../../table/table.ts';
import { endpointKey, type Endpoint } from '../endpoints/endpoint.ts';
import { NamespaceEndpoints, startSockmap, type SockmapDependencies } from './start.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-sockmap-'));
const paths = ['a', 'b'].map(name => join(folder, name));
const cookies: bigint[] = [];
const host = { cookie: netnsCookie(), endpoint: 7 };
before(() => {
  for (const path of paths) {
    createNetns(path);
    using netns = openNetns(path);
    cookies.push(withNetns(netns.fd, netnsCookie));
  }
});
after(() => {
  for (const path of paths) deleteNetns(path);
  rmSync(folder, { recursive: true, force: true });
});

const endpoint = (id: number, netns: string): Endpoint => ({
  id, containerId: `c${id}`, interfaceName: 'eth0', netns, namespace: 'n', podName: `p${id}`, podUid: '', hostInterface: '', ifindex: 1, mac: '', hostMac: '', labels: [], identity: 1, namedPorts: [], createdAt: '',
});
const rowsOf = (map: BpfMap<{ cookie: bigint; endpoint: number }, number>): string[] => [...map.entries()].map(([key]) => `${key.cookie} ${key.endpoint}`).sort();
const rows = (...expected: (readonly [bigint, number])[]): string[] => expected.map(([cookie, id]) => `${cookie} ${id}`).sort();

test('namespaces have rows of the endpoints in them while these are there, and of the node', () => {
  using map = BpfMap.create(specs.namespaceEndpoints);
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  map.update({ cookie: 99n, endpoint: 1 }, 1);
  map.update({ cookie: 98n, endpoint: 50 }, 1);
  endpoints.upsert(endpoint(1, paths[0]!), endpoint(2, paths[1]!), endpoint(3, join(folder, 'gone')));
  const namespaces = new NamespaceEndpoints(host, { maps: { namespaceEndpoints: map }, endpoints });
  namespaces.sweep();
  assert.deepEqual(rowsOf(map), rows([host.cookie, 7], [cookies[0]!, 1], [cookies[1]!, 2]), 'what an earlier agent left is gone');
  endpoints.delete(endpointKey(endpoint(1, '')));
  endpoints.upsert(endpoint(4, paths[1]!));
  namespaces.bring();
  assert.deepEqual(rowsOf(map), rows([host.cookie, 7], [cookies[1]!, 2], [cookies[1]!, 4]), 'a pod with two devices has two');
});

test('off, and on where the kernel cannot: nothing is attached, the slot is empty, and the status says which', () => {
  const taken: number[] = [];
  const attached: string[] = [];
  const dependencies = (refusal: string | undefined): SockmapDependencies => ({
    programs: { refusalOf: () => refusal, program: () => assert.fail('a program was used'), attach: () => attached.push('') },
    maps: { messagePrograms: { delete: (slot: number) => taken.push(slot) } },
    endpoints: new Table<Endpoint>('endpoints', endpointKey), log: createLogger({ component: 'test', level: 'error' }), signal: new AbortController().signal,
  }) as unknown as SockmapDependencies;
  const options = { cgroup: { fd: -1, path: '' }, host };
  assert.equal(startSockmap({ ...options, enabled: false }, dependencies(undefined)).state, 'off');
  const status = startSockmap({ ...options, enabled: true }, dependencies('unknown func bpf_rdonly_cast\nmore'));
  assert.equal(status.state, 'degraded');
  assert.match(status.detail, /this kernel cannot: unknown func bpf_rdonly_cast$/);
  assert.deepEqual([taken, attached], [[0, 0], []]);
});
