import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { BackendState, ConntrackFlag, ConntrackKind, EndpointFlag, IpcacheFlag, NatDirection, ServiceFlag, ServiceScope, ServiceType, SocketServiceKind } from '../../datapath/generated/enums.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import type { ConntrackEntry, Service } from '../../datapath/generated/structs.ts';
import { BpfMap, type MapSpec } from '../../ebpf/map.ts';
import { parseAddr } from '../../std/ip.ts';
import { ensureBpffs, unmount } from '../../sys/mount.ts';
import { TestCluster } from './testing.ts';

let cluster: TestCluster;
const opened: { close(): void }[] = [];

function pinned<K, V>(spec: MapSpec<K, V>): BpfMap<K, V> {
  const directory = cluster.api.paths.node('node1').maps;
  mkdirSync(directory, { recursive: true });
  const map = BpfMap.create(spec);
  opened.push(map);
  map.pin(join(directory, `${spec.name}-${spec.layoutHash}`));
  return map;
}

const vip = parseAddr('10.96.0.10');
const service = (more: Partial<Service>): Service => ({ id: 7, count: 0, affinityTimeout: 0, maglev: 0, flags: 0, type: ServiceType.ClusterIp, ...more });
const nothing = specs.conntrack.value.read(new DataView(new ArrayBuffer(specs.conntrack.value.size)), 0);
const connection: ConntrackEntry = {
  ...nothing, forwardPackets: 3n, forwardBytes: 300n, replyPackets: 2n, replyBytes: 200n, flags: ConntrackFlag.SeenReply | ConntrackFlag.SeenNonSyn, sourceIdentity: 1234, destinationIdentity: 2, sourceEndpoint: 5, service: 7, backend: 41,
};
let expiresNs: bigint;

before(async () => {
  cluster = await TestCluster.start([], { node1: {} });
  ensureBpffs(cluster.api.paths.bpffs);
  const services = pinned(specs.services);
  services.update({ addr: vip, port: 53, protocol: 17, scope: ServiceScope.External }, service({ count: 2, affinityTimeout: 60 }));
  services.update({ addr: parseAddr('2001:db8::5'), port: 443, protocol: 6, scope: ServiceScope.External }, service({ id: 8, flags: ServiceFlag.Routable | ServiceFlag.TwoScopes | ServiceFlag.SourceRanges, type: ServiceType.LoadBalancer, maglev: 7 }));
  services.update({ addr: parseAddr('2001:db8::5'), port: 443, protocol: 6, scope: ServiceScope.Internal }, service({ id: 9, count: 1, flags: ServiceFlag.Routable, type: ServiceType.LoadBalancer }));
  const slots = pinned(specs.serviceSlots);
  for (const [id, slot, backend] of [[7, 0, 41], [7, 1, 42], [9, 0, 43]] as const) slots.update({ service: id, slot }, { backend });
  const backends = pinned(specs.backends);
  backends.update({ id: 41 }, { addr: parseAddr('10.0.1.7'), port: 53, protocol: 17, state: BackendState.Active });
  backends.update({ id: 42 }, { addr: parseAddr('10.0.2.7'), port: 53, protocol: 17, state: BackendState.Terminating });
  pinned(specs.serviceAddresses).update({ id: 7 }, { addr: vip, port: 53 });
  pinned(specs.serviceSources).update({ prefixBits: 32 + 96 + 24, service: 8, addr: parseAddr('192.0.2.0') }, 1);
  const maglev = pinned(specs.maglev);
  const table = BpfMap.create({ ...specs.maglev.inner!, maxEntries: 7 });
  opened.push(table);
  table.updateBatch([41, 42, 41, 42, 41, 42, 41].map((backend, i) => [i, backend]));
  maglev.update({ id: 8 }, table.fd);
  expiresNs = process.hrtime.bigint() + 600_000_000_000n;
  const conntrack = pinned(specs.conntrack);
  conntrack.update({ low: parseAddr('10.0.1.5'), high: parseAddr('203.0.113.9'), lowPort: 41000, highPort: 443, protocol: 6, kind: ConntrackKind.Flow }, { ...connection, expiresNs, flags: connection.flags | ConntrackFlag.OriginatorLow });
  conntrack.update({ low: vip, high: parseAddr('10.0.1.5'), lowPort: 53, highPort: 999, protocol: 17, kind: ConntrackKind.Service }, { ...connection, expiresNs });
  conntrack.update({ low: parseAddr('10.0.1.5'), high: parseAddr('fd00::9'), lowPort: 80, highPort: 1000, protocol: 6, kind: ConntrackKind.Flow }, { ...connection, expiresNs, sourceEndpoint: 0, destinationEndpoint: 5 });
  const nat = pinned(specs.nat);
  const common = { remote: parseAddr('203.0.113.9'), remotePort: 443, protocol: 6 };
  const created = { endpoint: 5, createdNs: process.hrtime.bigint() - 12_000_000_000n };
  nat.update({ ...common, local: parseAddr('10.0.1.5'), localPort: 41000, direction: NatDirection.Outgoing }, { addr: parseAddr('192.168.1.2'), port: 41001, ...created });
  nat.update({ ...common, local: parseAddr('192.168.1.2'), localPort: 41001, direction: NatDirection.Incoming }, { addr: parseAddr('10.0.1.5'), port: 41000, ...created });
  nat.update({ ...common, local: parseAddr('10.0.1.8'), localPort: 8443, direction: NatDirection.Frontend }, { addr: parseAddr('203.0.113.5'), port: 443, ...created });
  const ipcache = pinned(specs.ipcache);
  ipcache.update({ prefixBits: 96, addr: parseAddr('0.0.0.0') }, { identity: 2, policyIdentity: 0, flags: 0, tunnel: new Uint8Array(16) });
  ipcache.update({ prefixBits: 120, addr: parseAddr('10.0.2.0') }, { identity: 1234, policyIdentity: 0, flags: IpcacheFlag.HasTunnel | IpcacheFlag.Cluster, tunnel: parseAddr('192.168.1.3') });
  const endpoint = { ifindex: 9, id: 5, identity: 1234, policyIdentity: 0, ingressSet: 1, egressSet: 2, mac: Uint8Array.of(2, 0, 0, 0, 0, 5), hostMac: Uint8Array.of(2, 0, 0, 0, 0, 1), flags: EndpointFlag.Ready, other: new Uint8Array(16) };
  const endpoints = pinned(specs.endpoints);
  endpoints.update({ addr: parseAddr('10.0.1.5') }, endpoint);
  endpoints.update({ addr: parseAddr('192.168.1.2') }, { ...endpoint, flags: EndpointFlag.Ready | EndpointFlag.Host });
  pinned(specs.metrics).update({ reason: 133, direction: 1 }, { packets: 2n, bytes: 120n });
  const sockets = pinned(specs.socketServices);
  sockets.update({ cookie: 77n, addr: parseAddr('10.0.1.7'), port: 53, protocol: 17, kind: SocketServiceKind.Peer }, { addr: vip, port: 53, service: 7, backend: 41, usedSeconds: 0 });
  sockets.update({ cookie: 77n, addr: vip, port: 53, protocol: 17, kind: SocketServiceKind.Choice }, { addr: parseAddr('10.0.1.7'), port: 53, service: 7, backend: 41, usedSeconds: 1 });
  pinned(specs.masqueradeExclusions).update({ prefixBits: 104, addr: parseAddr('10.0.0.0') }, 1);
});
after(async () => {
  for (const map of opened) map.close();
  unmount(cluster.api.paths.bpffs);
  await cluster[Symbol.asyncDispose]();
});

const lines = async (...args: string[]) => {
  const { stdout, stderr, status } = await cluster.cirri('bpf', ...args);
  assert.equal(status, 0, stderr);
  return stdout.trimEnd().split('\n');
};

test('lb list: a line a slot, then the service with its flags; the other maps of services by flag', async () => {
  assert.deepEqual(await lines('lb', 'list'), [
    'SERVICE ADDRESS                   BACKEND ADDRESS (REVNAT_ID) (SLOT)',
    '10.96.0.10:53/UDP                 10.0.1.7:53/UDP (7) (1)',
    '                                  10.0.2.7:53/UDP (7) (2)',
    '                                  0.0.0.0:0 (7) (0) [ClusterIP, non-routable, sessionAffinity]',
    '[2001:db8::5]:443/TCP             0.0.0.0:0 (8) (0) [LoadBalancer, two-scopes, check source-range, maglev]',
    '[2001:db8::5]:443/TCP/i           (gone) (9) (1)',
    '                                  0.0.0.0:0 (9) (0) [LoadBalancer]',
  ]);
  assert.equal((await lines('lb', 'list', '--frontends')).length, 4);
  assert.deepEqual((await lines('lb', 'list', '--backends')).slice(1).sort(), ['41           10.0.1.7:53/UDP (active)', '42           10.0.2.7:53/UDP (terminating)']);
  assert.deepEqual((await lines('lb', 'list', '--revnat')).slice(1), ['7            10.96.0.10:53']);
  assert.deepEqual(await lines('lb', 'list', '--source-ranges'), ['SOURCE RANGE (REVNAT_ID)', '192.0.2.0/24 (8)']);
  const backends = JSON.parse((await lines('lb', 'list', '--backends', '-o', 'json')).join('')) as { id: number }[];
  assert.deepEqual(backends.sort((one, other) => one.id - other.id), [{ id: 41, address: '10.0.1.7:53/UDP', state: 'active' }, { id: 42, address: '10.0.2.7:53/UDP', state: 'terminating' }]);
});

test('lb maglev: the tables that the kernel has', async () => {
  assert.deepEqual(await lines('lb', 'maglev', 'list'), ['SVC ID       LOOKUP TABLE', '8            [41 42 41 42 41 42 41]']);
  assert.deepEqual(JSON.parse((await lines('lb', 'maglev', 'get', '8', '-o', 'json')).join('')), [{ service: 8, entries: [41, 42, 41, 42, 41, 42, 41] }]);
  assert.match((await cluster.cirri('bpf', 'lb', 'maglev', 'get', '7')).stderr, /service 7 has no Maglev table/);
});

test('ct list: who opened it, from which side it is seen, and what it was translated to', async () => {
  const seconds = expiresNs / 1_000_000_000n;
  const rest = `Packets=5 Bytes=500 TxPackets=3 TxBytes=300 RxPackets=2 RxBytes=200 Flags=0x0006 [ SeenReply SeenNonSyn ] RevNAT=7 SourceSecurityID=1234 DestinationSecurityID=2 BackendID=41`;
  assert.deepEqual((await lines('ct', 'list', 'global')).sort(), [
    `TCP IN [fd00::9]:1000 -> 10.0.1.5:80 expires=${seconds} ${rest}`,
    `TCP OUT 10.0.1.5:41000 -> 203.0.113.9:443 expires=${seconds} ${rest.replace('0x0006', '0x0007')}`,
    `UDP SVC 10.0.1.5:999 -> 10.96.0.10:53 expires=${seconds} ${rest}`,
  ]);
  assert.match((await lines('ct', 'list', '-d', '--port', '443'))[0]!, /\(remaining: [1-5]\d\d sec\(s\)\)/);
  for (const [filter, count] of [[['--protocol', 'udp'], 1], [['--ip', '10.0.1.5'], 3], [['--ip', 'fd00:0::9'], 1], [['--ip', '10.0.1.5', '--port', '53'], 1], [['--port', '7'], 0]] as const) {
    assert.equal((JSON.parse((await lines('ct', 'list', '-o', 'json', ...filter)).join('')) as unknown[]).length, count, filter.join(' '));
  }
});

test('nat list: both halves of a mapping, and what a backend answers as', async () => {
  assert.deepEqual((await lines('nat', 'list')).map(text => text.replace(/Created=(\d+)sec/, (_, age: string) => `Created=${Number(age) >= 12 && Number(age) < 300 ? 12 : age}sec`)).sort(), [
    'TCP DSR 10.0.1.8:8443 -> 203.0.113.9:443 XLATE_SRC 203.0.113.5:443 Created=12sec ago Endpoint=5',
    'TCP IN 203.0.113.9:443 -> 192.168.1.2:41001 XLATE_DST 10.0.1.5:41000 Created=12sec ago Endpoint=5',
    'TCP OUT 10.0.1.5:41000 -> 203.0.113.9:443 XLATE_SRC 192.168.1.2:41001 Created=12sec ago Endpoint=5',
  ]);
});

test('ipcache, endpoint, metrics and ipmasq', async () => {
  assert.deepEqual((await lines('ipcache', 'list')).sort(), [
    '0.0.0.0/0                   identity=2 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>',
    '10.0.2.0/24                 identity=1234 encryptkey=0 tunnelendpoint=192.168.1.3 flags=hastunnel,cluster',
    'IP PREFIX/ADDRESS           IDENTITY',
  ]);
  assert.deepEqual(await lines('ipcache', 'get', '10.0.2.77'), ['10.0.2.77 maps to identity=1234 encryptkey=0 tunnelendpoint=192.168.1.3 flags=hastunnel,cluster']);
  assert.deepEqual((await lines('endpoint', 'list')).sort(), [
    '10.0.1.5                    id=5     sec_id=1234  flags=0x0001 ifindex=9   mac=02:00:00:00:00:05 nodemac=02:00:00:00:00:01 ingress_set=1 egress_set=2',
    '192.168.1.2                 (localhost)',
    'IP ADDRESS                  LOCAL ENDPOINT INFO',
  ]);
  const [row] = JSON.parse((await lines('metrics', 'list', '-o', 'json')).join('')) as { name: string; direction: string; packets: number }[];
  assert.equal(row!.name, 'Policy denied');
  assert.equal(row!.direction, 'INGRESS');
  assert.deepEqual((await lines('socknat', 'list')).sort(), ['77                    10.0.1.7:53 -> 10.96.0.10:53 (revnat=7)', '77                    10.0.1.7:53 -> 10.96.0.10:53 (revnat=7) (next datagram)', 'Socket Cookie         Backend -> Frontend']);
  assert.deepEqual(await lines('ipmasq', 'list'), ['IP PREFIX/ADDRESS', '10.0.0.0/8']);
});

test('ct top: who holds the table, by address, pod and service', async () => {
  assert.deepEqual((await lines('ct', 'top')).map(text => text.replace(/ {2,}/g, ' ')), ['3 of 524288 entries on node1', 'SOURCE ENTRIES SHARE PACKETS BYTES EXPIRED', '10.0.1.5 2 66.7 % 10 1000 0', 'fd00::9 1 33.3 % 5 500 0']);
  assert.match((await lines('ct', 'top', '--by', 'pod'))[2]!, /^endpoint 5 +3 +100\.0 %/);
  assert.match((await lines('ct', 'top', '--by', 'service'))[2]!, /^10\.96\.0\.10:53 +3 /);
  const told = JSON.parse((await lines('ct', 'top', '--by', 'destination', '--count', '1', '--protocol', 'TCP', '-o', 'json')).join('')) as { entries: number; talkers: unknown[] };
  assert.deepEqual([told.entries, told.talkers.length], [2, 1]);
  assert.match((await cluster.cirri('bpf', 'ct', 'top', '--by', 'colour')).stderr, /known are source/);
});

test('flush forgets what is asked for, and nothing else', async () => {
  assert.deepEqual(await lines('ct', 'flush', 'global', '--protocol', 'UDP'), ['Flushed 1 entries of conntrack on node1']);
  assert.deepEqual(await lines('ct', 'flush'), ['Flushed 2 entries of conntrack on node1']);
  assert.deepEqual(await lines('ct', 'list', '-o', 'json'), ['[', ']']);
  assert.deepEqual(await lines('nat', 'flush', '--ip', '10.0.1.8'), ['Flushed 1 entries of nat on node1']);
  assert.equal((await lines('nat', 'list')).length, 2);
});

test('a map that is not there, a node that is not there and a value that is none are said so', async () => {
  for (const [args, message] of [
    [['lb', 'list', '--node', 'node7'], /there is no node node7/], [['ct', 'list', '--ip', 'web'], /"web" is no address/], [['nat', 'list', '-o', 'yaml'], /known is json/], [['ipcache', 'get', 'x'], /no address/],
  ] as const) {
    const { stderr, status } = await cluster.cirri('bpf', ...args);
    assert.equal(status, 1);
    assert.match(stderr, message);
  }
});

test('lb maglev, while no agent answers: shares of the table in the kernel, each backend beside what is fair', async () => {
  const { stdout } = await cluster.cirri('lb', 'maglev');
  assert.match(stdout, /^\[2001:db8::5\]:443\/TCP +- +7 +2 +1\.143 × fair +0\.857 × fair +\d/m);
  const shown = (await cluster.cirri('lb', 'maglev', '8')).stdout;
  assert.match(shown, /^\[2001:db8::5\]:443\/TCP {2}id 8, 7 entries, NOT the table that its backends give$/m);
  assert.match(shown, /^ {2}10\.0\.1\.7:53\/UDP +1 +57\.14 % +50\.00 % +█+▓█+ +\d/m);
  assert.match((await cluster.cirri('lb', 'maglev', '7')).stderr, /7 has no Maglev table on node1/);
  const [row] = (await cluster.cirri('lb', 'maglev', '-o', 'json')).json() as { backends: { name: string; share: number }[] }[];
  assert.deepEqual(row!.backends.map(({ name, share }) => [name, Math.round(share * 7)]), [['10.0.1.7:53/UDP', 4], ['10.0.2.7:53/UDP', 3]]);
});
