/**
 * The stand-in for the agent in the harness's node namespace: the agent's own modules on the harness's devices; only the API is
 * replaced, by tables that are filled from the harness's list (backend.ts starts this and talks to it).
 *
 *     agent.ts DIRECTORY TAG N GEN CGROUP STARTED        inside pbn-TAG, by `backend.ts full`
 */
import { existsSync, rmSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { EngineChanges } from '../../src/agent/engine-changes.ts';
import { createLookups } from '../../src/agent/lookups.ts';
import type { Inputs } from '../../src/agent/inputs.ts';
import { PolicyInputs } from '../../src/agent/policy-inputs.ts';
import { Regenerator } from '../../src/agent/regenerate.ts';
import { openNodeMaps } from '../../src/datapath/maps.ts';
import { mapSizes } from '../../src/datapath/sizes.ts';
import { nodeAttachments, podAttachments, Programs } from '../../src/datapath/programs.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { AddressSources } from '../../src/features/addresses/sources.ts';
import { PrefixIdentities } from '../../src/features/addresses/prefix-identities.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../../src/features/endpoints/endpoint.ts';
import type { Identity } from '../../src/features/identities/allocate.ts';
import { KernelMaglevTables } from '../../src/features/services/maglev-tables.ts';
import { startServices } from '../../src/features/services/start.ts';
import { startSockmap } from '../../src/features/sockmap/start.ts';
import { createFlowPipeline } from '../../src/flows/pipeline.ts';
import { objectKey } from '../../src/kube/reflector.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../src/kube/types.ts';
import { reserved } from '../../src/model/identity.ts';
import { defaultSettings } from '../../src/model/settings.ts';
import { PolicyEngine } from '../../src/policy/compile.ts';
import { parseAddr } from '../../src/std/ip.ts';
import { createLogger } from '../../src/std/log.ts';
import { createCgroup, openCgroup, removeCgroup } from '../../src/sys/cgroup.ts';
import { ensureBpffs, unmount } from '../../src/sys/mount.ts';
import { Netlink } from '../../src/sys/netlink.ts';
import { netnsCookie, openNetns } from '../../src/sys/netns.ts';
import { Table } from '../../src/table/table.ts';
import { clusterName, endpoint, identities as worldIdentities, policies as worldPolicies, readServices, rowKeys, type ServiceObjects } from './world.ts';

/** Where the start went: milliseconds from exec to the end of each stage. */
const stages: Record<string, number> = {};
const stage = (name: string) => void (stages[name] = Math.round(performance.now() * 10) / 10);
stage('runtime and modules');

const [directory = '', tag = '', count = '0', gen = '', cgroupName = '', startedText = '0'] = process.argv.slice(2);
const lifetimeMs = 30 * 60_000;
const bpffs = join(directory, 'bpf');
const log = createLogger({ component: 'bench', tag });

const stopping = new AbortController();
const { signal } = stopping;
const node = { address: '192.0.2.1', router: '169.254.1.1' };
const hostMac = '02:00:00:00:00:01';
/** Of the harness's pods. */
const gateway = '169.254.1.1';
const sockmap = process.env['BENCH_SOCKMAP'] === '1';

// The kernel: as in src/agent/agent.ts, with the harness's devices in place of the node's own.
ensureBpffs(bpffs);
const netlink = Netlink.open();
const cgroupPath = createCgroup(cgroupName);
createCgroup(`${cgroupName}/pod`);
const cgroup = openCgroup(cgroupPath);
// 100,000 services of three backends are more than a node has by default.
const opened = openNodeMaps(join(bpffs, 'maps'), mapSizes({ ...defaultSettings.bpf, lbMapMax: Math.max(defaultSettings.bpf.lbMapMax, 2 * Number(process.env['BENCH_MOST'] ?? count)) }));
const loopback = netlink.linkGet('lo')?.index ?? 1;
const programs = new Programs({
  objectPath: new URL('../../build/cirri.bpf.o', import.meta.url).pathname, maps: opened.maps, linkDirectory: join(bpffs, 'links'), programDirectory: join(bpffs, 'programs'), uses: { overlay: false, xdp: false, sockmap },
  config: {
    nodeIp4: parseAddr(node.address), nodeIp6: new Uint8Array(16), routerIp4: parseAddr(node.router), routerIp6: new Uint8Array(16),
    uplinkIfindex: loopback, overlayIfindex: 0, clusterId: 0, natPortMin: 32768, natPortMax: 65535, hostMac: Uint8Array.from(hostMac.split(':'), part => Number.parseInt(part, 16)), masquerade: 1, policyMode: 0, audit: 0,
    monitorAggregation: { none: 0, low: 1, medium: 2, max: 3, silent: 4 }[process.env['BENCH_AGGREGATION'] ?? 'medium'],
  },
});

stage('maps and programs');

// The API: tables that are complete from the start.
const identities = new Table<Identity>('identities', identity => String(identity.id));
identities.upsert(...worldIdentities());
const inputs = {
  services: input<Service>('services'), endpointSlices: input<EndpointSlice>('endpointslices'), ciliumNetworkPolicies: input<KubeObject>('ciliumnetworkpolicies'),
  networkPolicies: input<KubeObject>('networkpolicies'), ciliumClusterwideNetworkPolicies: input<KubeObject>('ciliumclusterwidenetworkpolicies'),
  adminNetworkPolicies: input<KubeObject>('adminnetworkpolicies'), baselineAdminNetworkPolicies: input<KubeObject>('baselineadminnetworkpolicies'), clusterNetworkPolicies: input<KubeObject>('clusternetworkpolicies'),
  nodes: input<KubeObject>('nodes'), ciliumCidrGroups: input<KubeObject>('ciliumcidrgroups'), ciliumEndpoints: input<KubeObject>('ciliumendpoints'),
} as unknown as Inputs;
inputs.ciliumNetworkPolicies.table.upsert(...worldPolicies());
const listed = readServices(join(gen, `svc-${count}`));
publish(listed);
stage('objects read');

const prefixes = new PrefixIdentities();
const engine = new PolicyEngine({ mode: 'default' });
const policies = new PolicyInputs({ inputs, identities, engine: new EngineChanges(engine), prefixes, isSynced: () => true, clusterName });
const endpoints = new Table<Endpoint>('endpoints', endpointKey);
const addresses = new AddressSources({
  clusterPrefixes: ['10.244.0.0/16'], apiServers: [], dualStack: true,
  nodes: [{ name: 'bench', local: true, underlay: [node.address], routers: [node.router] }],
}, {
  local: endpoints, localPod: one => ({ addresses: endpointAddresses(one), identity: one.identity, since: one.createdAt }),
  remote: inputs.ciliumEndpoints.table, remotePod: () => undefined, isKnown: () => true, identities, prefixes,
});
const regenerator = new Regenerator({
  maps: opened.maps, endpoints, log, audit: () => false, synced: () => true,
  refreshEngine: () => policies.refresh(),
  compile: (subject, direction) => engine.compile(subject, direction),
  forget: subject => engine.forget(subject),
  subjectOf: one => policies.subjectOf(one),
  hostRows: () => [node.address, node.router].map(address => ({
    address, ifindex: loopback, id: 0, identity: reserved.host, ingressSet: 0, egressSet: 0, mac: '00:00:00:00:00:00', hostMac: '00:00:00:00:00:00', ready: true, host: true, audit: false,
  })),
  takeAddresses: () => addresses.take(),
});

const client = podDevice('pbha', `pba-${tag}`);
const server = podDevice('pbhb', `pbb-${tag}`);
const [clientNetns, serverNetns] = [`/run/netns/pba-${tag}`, `/run/netns/pbb-${tag}`];
endpoints.upsert(endpoint(1, 'client', '10.244.1.2', clientNetns, client), ...[2, 3, 4].map(host => endpoint(host, 'server', `10.244.2.${host}`, serverNetns, server)));
for (const id of [1, 2]) for (const attachment of podAttachments([...endpoints.rows()].find(one => one.id === id)!)) programs.attach(attachment);
regenerator.run();
for (const one of endpoints.rows()) regenerator.makeReady(one);
for (const attachment of nodeAttachments({ uplinkIndex: 0, overlayIndex: 0 }, { fd: cgroup.fd, path: cgroupPath })) if (attachment.hook.kind === 'cgroup') programs.attach(attachment);
startSockmap({ enabled: sockmap, cgroup: { fd: cgroup.fd, path: cgroupPath }, host: { cookie: netnsCookie(), endpoint: 0 } }, { programs, maps: opened.maps, endpoints, log, signal });

stage('policy and attachment');
const services = startServices({ services: inputs.services.table, slices: inputs.endpointSlices.table, maps: opened.maps, maglev: new KernelMaglevTables(opened.maps.maglev), nodeName: 'bench', log, signal });
stage('services in the kernel');
const flows = createFlowPipeline({
  rings: { drops: ring(opened.maps.dropEvents), flows: ring(opened.maps.flowEvents) }, nodeName: 'bench',
  lookups: createLookups({ endpoints, identities, ciliumEndpoints: inputs.ciliumEndpoints.table as never, prefixIdentity: id => prefixes.labels(id), serviceByAddr: services.byAddress, rule: id => engine.ruleInfo(id), pods: new Table<Pod>('pods', objectKey), nodes: inputs.nodes.table, nodeName: 'bench', clusterName, policies, namesOf: () => undefined, devices: new Map() }),
  lost: () => ({ flows: sum(opened.maps.lostEvents.lookupPerCpu(0)), drops: sum(opened.maps.lostEvents.lookupPerCpu(1)) }),
});
flows.start(signal);
if (listed.length > 0 && !isInPlace(listed.at(-1)!)) throw new Error('the last service is not in the kernel');
const readyAfter = `${(Number(process.hrtime.bigint() - BigInt(startedText)) / 1e6).toFixed(1)} ${cpuMs(process.cpuUsage()).toFixed(1)}`;

const api = http.createServer((request, response) => {
  const answer = (status: number, text: string) => void response.writeHead(status).end(`${text}\n`);
  handle(request.url ?? '').then(text => answer(200, text), (error: unknown) => answer(500, String(error)));
});
rmSync(join(directory, 'control.sock'), { force: true });
api.listen(join(directory, 'control.sock'), () => process.send?.(readyAfter));
setInterval(() => { if (!existsSync(`/run/netns/pbn-${tag}`)) down(); }, 2_000).unref();
setTimeout(down, lifetimeMs).unref();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, down);

const originals = new Map<string, EndpointSlice>();

async function handle(url: string): Promise<string> {
  const [path, size = count] = url.split('?');
  const read = (kind: string) => readServices(join(gen, `${kind}-${size}`));
  switch (path) {
    case '/add': return change(read('svc-add'));
    case '/chg': return change(read('svc-chg').map(turned));
    case '/load': return change(read('svc'));
    case '/stages': return JSON.stringify(stages);
    case '/stat': return JSON.stringify({
      services: services.table.size, policies: policies.size, sets: regenerator.sets.size, rssMiB: Math.round(process.memoryUsage.rss() / 1048576), flows: flows.stats,
      forwarded: Object.fromEntries([...opened.maps.metrics.entriesPerCpu()].map(([key, cpus]) => [`${key.reason}/${key.direction}`, Number(cpus.reduce((all, one) => all + one.packets, 0n))] as const).filter(([, packets]) => packets > 0)),
      last: flows.query({ last: 2 } as Parameters<typeof flows.query>[0]),
    });
    case '/down': {
      setImmediate(down);
      return 'down';
    }
    default: throw new Error(`no such path: ${path}`);
  }
}

/** What the API's watch would bring, to the moment at which the kernel has it. */
async function change(objects: readonly ServiceObjects[]): Promise<string> {
  const started = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  publish(objects);
  const deadline = performance.now() + 60_000;
  while (!objects.every(isInPlace)) {
    if (performance.now() > deadline) throw new Error('not in the kernel after a minute');
    await new Promise(resolve => setImmediate(resolve));
  }
  return `${(Number(process.hrtime.bigint() - started) / 1e6).toFixed(2)} ${cpuMs(process.cpuUsage(cpu)).toFixed(2)}`;
}

/** As it was before, where it is so already: every change is one. */
function turned(changed: ServiceObjects): ServiceObjects {
  const key = objectKey(changed.slice);
  const now = inputs.endpointSlices.table.get(key)!;
  if (!isDeepStrictEqual(now, changed.slice)) {
    originals.set(key, now);
    return changed;
  }
  return { ...changed, slice: originals.get(key)! };
}

function isInPlace(objects: ServiceObjects): boolean {
  const { row, backends } = rowKeys(objects);
  return services.reconciler.settled && services.table.get(row)?.backends.map(backend => backend.key).join() === backends.join();
}

function down(): void {
  stopping.abort(new Error('down'));
  api.close();
  programs.detach([...programs.leftovers, ...programs.pins]);
  programs.close();
  opened.close();
  cgroup.close();
  unmount(bpffs);
  removeCgroup(cgroupPath);
  rmSync(directory, { recursive: true, force: true });
  process.exit(0);
}

function publish(objects: readonly ServiceObjects[]): void {
  for (const { service, slice } of objects) {
    inputs.endpointSlices.table.upsert(slice);
    inputs.services.table.upsert(service);
  }
}

function input<T extends KubeObject>(name: string): { readonly table: Table<T>; readonly synced: Promise<void> } {
  return { table: new Table<T>(name, objectKey), synced: Promise.resolve() };
}

function podDevice(hostInterface: string, podNetns: string): Pick<Endpoint, 'hostInterface' | 'ifindex' | 'mac' | 'hostMac'> {
  using netns = openNetns(`/run/netns/${podNetns}`);
  using pod = Netlink.openIn(netns.fd);
  const [host, inside] = [netlink.linkGet(hostInterface), pod.linkGet('eth0')];
  if (!host || !inside) throw new Error(`the harness has made no ${hostInterface} with a peer in ${podNetns}`);
  // As every pod's device is made: one MAC for all host sides, and the pod knows it without asking.
  netlink.linkSet(host.index, { mac: hostMac });
  pod.neighbourAdd({ index: inside.index, addr: parseAddr(gateway), mac: hostMac, permanent: true });
  return { hostInterface, ifindex: host.index, mac: inside.mac, hostMac };
}

function ring(map: { readonly fd: number; readonly spec: { readonly maxEntries: number } }): RingBuffer {
  return RingBuffer.open({ fd: map.fd, maxEntries: map.spec.maxEntries });
}

function sum(values: readonly bigint[] | undefined): number {
  return Number((values ?? []).reduce((all, one) => all + one, 0n));
}

function cpuMs(usage: { readonly user: number; readonly system: number }): number {
  return (usage.user + usage.system) / 1000;
}
