import { availableParallelism } from 'node:os';
import { AddressPool } from '../ipam/pool.ts';
import { ensureNodeDevices, overlayName, remoteNodeRoutes, serviceRangeRoutes, uplinkName, type NodeDevices } from '../datapath/node-devices.ts';
import { openNodeMaps, removePins } from '../datapath/maps.ts';
import { mapSizes } from '../datapath/sizes.ts';
import { accelerate } from '../datapath/acceleration.ts';
import { nodeAttachments, Programs, proxyAttachment } from '../datapath/programs.ts';
import { requireFeatures } from '../ebpf/features.ts';
import { PrefixIdentities } from '../features/addresses/prefix-identities.ts';
import { NetworkIdentities } from '../features/addresses/network-identities.ts';
import { NodeIdentities } from '../features/addresses/node-identities.ts';
import { AddressSources } from '../features/addresses/sources.ts';
import { CniError, cniErrorCode } from '../features/endpoints/cni.ts';
import { endpointAddresses, endpointKey, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { EndpointRow } from '../features/endpoints/layout.ts';
import { ConntrackSweep } from '../features/conntrack/sweep.ts';
import { EndpointManager } from '../features/endpoints/manager.ts';
import { publishEndpoints, remotePod, type CiliumEndpoint } from '../features/endpoints/objects.ts';
import { EndpointStore } from '../features/endpoints/store.ts';
import { IdentityAllocator, identityFromObject, type Identity } from '../features/identities/allocate.ts';
import { proxyWorkers, startLayer7 } from '../features/l7/start.ts';
import { startHttpKernel } from '../features/http-kernel/start.ts';
import { startMasquerade } from '../features/masquerade/start.ts';
import { addressesOfPod } from '../features/names/sweep.ts';
import { KubeClient } from '../kube/client.ts';
import { createEventRecorder } from '../kube/events.ts';
import { NameCache } from '../flows/name-cache.ts';
import type { ClusterRecord, NodeRecord, StatePaths } from '../model/cluster.ts';
import { identityScope, reserved } from '../model/identity.ts';
import { PolicyEngine, type NamedPorts } from '../policy/compile.ts';
import { tablesOfSet } from '../policy/http-tables.ts';
import { Signal, waitFor } from '../std/async.ts';
import { errorText } from '../std/errors.ts';
import { parseAddr, parsePrefix } from '../std/ip.ts';
import type { Logger } from '../std/log.ts';
import { createCgroup, openCgroup } from '../sys/cgroup.ts';
import { keepMemorySmall } from '../sys/footprint.ts';
import { Netlink } from '../sys/netlink.ts';
import { netnsCookie, openOwnNetns } from '../sys/netns.ts';
import { derive } from '../table/derive.ts';
import { Table } from '../table/table.ts';
import { startAgentMetrics } from './agent-metrics.ts';
import { auditReason } from './audit.ts';
import { startCniServer, takePendingDeletes } from './cni-server.ts';
import { AgentCounters } from './counters.ts';
import { Enforcement } from './enforcement.ts';
import { EngineChanges } from './engine-changes.ts';
import { externalAddressFeature, masqueradeFeature } from './features.ts';
import { hostEndpointId, hostSubject } from './host-policy.ts';
import { identifyPod, podIdentityLabels, refreshIdentities } from './identify.ts';
import { policySources, reflectors, startInputs } from './inputs.ts';
import { kernelConfig, programUses } from './kernel-config.ts';
import { LocalIdentities } from './local-identities.ts';
import { createLookups } from './lookups.ts';
import { feedAgentEvents } from './agent-events.ts';
import { startDnsNames } from './dns-names.ts';
import { startObservability } from './observability.ts';
import { PolicyAudit } from './policy-audit.ts';
import { PolicyInputs } from './policy-inputs.ts';
import { PolicySecrets } from './policy-secrets.ts';
import { PolicyStatusWriter } from './policy-status.ts';
import { Regenerator } from './regenerate.ts';
import { agentRoutes, policyReports, type AgentParts } from './routes.ts';
import { startRedirectExemptions, startServiceInputs } from './service-inputs.ts';
import { startLocalApi } from './server.ts';
import { createTrouble } from './trouble.ts';
import { KernelMaglevTables } from '../features/services/maglev-tables.ts';
import { startServices } from '../features/services/start.ts';
import { startSockmap } from '../features/sockmap/start.ts';
import { serviceLimits } from '../features/services/target.ts';
import { startSocketEnder } from '../features/sockets/start.ts';

export interface AgentOptions {
  readonly record: ClusterRecord;
  readonly node: NodeRecord;
  readonly paths: StatePaths;
  /** The compiled kernel programs. */
  readonly objectPath: string;
}

/**
 * One node's agent, wired. What stands in the kernel is taken over first and goes on working; then the API's objects come,
 * and what they say is compared with it.
 *
 *     API ─► inputs ─► identities, policies, services, addresses ─► Regenerator, services ─► maps
 *     CNI ─► EndpointManager ─► endpoints ────────────────────────────┘
 *     rings ─► flows ─► agent.sock
 */
export async function startAgent(options: AgentOptions, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): Promise<void> {
  const { record, node, paths } = options;
  const { signal } = dependencies;
  const counters = new AgentCounters();
  const log = counters.counting(dependencies.log);
  keepMemorySmall({ signal });
  const startedAt = new Date().toISOString();
  const nodePaths = paths.node(node.name);

  // The kernel: devices, maps, programs.
  requireFeatures();
  const netlink = Netlink.open();
  const devices = ensureNodeDevices(netlink, node, record.routing);
  const opened = openNodeMaps(nodePaths.maps, mapSizes(record.settings.bpf));
  const programs = new Programs({
    objectPath: options.objectPath, maps: opened.maps, linkDirectory: nodePaths.links, programDirectory: nodePaths.programs,
    config: kernelConfig(record, node, devices),
    uses: programUses(record, devices),
  });
  const cgroupPath = createCgroup(`${record.instance}/${node.name}`);
  using cgroup = openCgroup(cgroupPath);

  // The API: everything that this node reads from it.
  const client = new KubeClient({ socketPath: paths.apiserverSocket, userAgent: `cirri-agent/${node.name}` });
  client.onCall = call => counters.call(call);
  const inputs = startInputs({ client, signal, log, nodeName: node.name });
  const isSynced = () => secrets.ready && reflectors(inputs).every(input => input.table.synced);
  const synced = Promise.all(reflectors(inputs).map(input => input.synced));

  // Identities and policies.
  const identities = identityTable(inputs.ciliumIdentities.table, signal, log);
  const allocator = new IdentityAllocator({ client, known: identities });
  const prefixes = new PrefixIdentities();
  prefixes.adopt(opened.maps.ipcache.entries());
  const layer7 = startLayer7({ paths: nodePaths, workers: proxyWorkers(record.settings.l7.workers, availableParallelism()) }, { maps: opened.maps, log, signal });
  const engine = new PolicyEngine({ mode: record.policyMode, provides: { proxy: true }, httpReader: record.settings.l7.http, l7: layer7.sets });
  const http = startHttpKernel({ headers: record.settings.l7.headers }, { programs, maps: opened.maps, compile: tablesOfSet, files: layer7.sets, endpoints: { rows: () => endpoints.rows() }, onWork: () => oneMorePass(), log, signal });
  const changes = new EngineChanges(engine);
  const secrets = new PolicySecrets({ engine: changes, client, signal, log });
  const nodeIdentities = new NodeIdentities();
  nodeIdentities.adopt(opened.maps.ipcache.entries());
  const networkIdentities = new NetworkIdentities();
  networkIdentities.adopt(opened.maps.ipcache.entries());

  // Endpoints, and the pass that brings all of it into the kernel.
  const endpoints = new Table<Endpoint>('endpoints', endpointKey);
  const nodes = record.nodes.map(other => nodeAddresses(other, other.name === node.name, record.routing));
  const localIdentities = (namedPorts: (identity: number) => readonly NamedPorts[]) => new LocalIdentities(
    { nodes: nodes.map(other => ({ ...other, addresses: [...other.underlay, ...other.routers] })), ownNodeAddress: node.underlay4, clusterName: record.clusterName },
    { nodes: inputs.nodes.table, endpoints, ciliumEndpoints: inputs.ciliumEndpoints.table as Table<CiliumEndpoint>, identities, engine: changes, nodeIdentities, networkIdentities, namedPorts, allFlipped: () => regenerator.failures.size === 0 && regenerator.endpointReconciler.settled },
  );
  const names = new NameCache({ perPod: addressesOfPod });
  const dns = startDnsNames({ maps: opened.maps, program: name => programs.program(name), file: nodePaths.names, engine: changes, sets: layer7.sets, endpoints, cache: names, isSynced, onWork: () => oneMorePass() }, { log, signal });
  const policies = new PolicyInputs({ inputs, identities, engine: changes, prefixes, secrets, isSynced, clusterName: record.clusterName, local: localIdentities, names: dns.names });
  const addresses = new AddressSources({
    // Service addresses are translated before anybody is asked whose they are: one that is not is nobody's.
    clusterPrefixes: [record.clusterCidr4, record.clusterCidr6, record.serviceCidr4, record.serviceCidr6],
    apiServers: [record.underlay.host4, record.underlay.host6],
    nodes,
    dualStack: true,
  }, {
    local: endpoints,
    localPod: endpoint => ({ addresses: endpointAddresses(endpoint), identity: endpoint.identity, since: endpoint.createdAt }),
    remote: inputs.ciliumEndpoints.table as Table<CiliumEndpoint>,
    remotePod: object => remotePod(object, { ownNodeAddress: node.underlay4, tunnel: record.routing === 'tunnel' }),
    isKnown: id => identityScope(id) !== 'cluster' || identities.has(String(id)),
    identities, prefixes, nodeIdentities, networkIdentities,
  });
  const trouble = createTrouble({ nodeName: node.name }, {
    recorder: createEventRecorder({ client, component: 'cirri-agent', host: node.name, signal, log }),
    endpoints, services: inputs.services.table, nodes: inputs.nodes.table,
  });
  const auditSources = { cluster: record.audit, pods: inputs.pods.table, namespaces: inputs.namespaces.table };
  let oneMorePass = () => {};
  /** All that flows are named with has been read once. */
  let isNamed = false;
  const regenerator: Regenerator = new Regenerator({
    onTrouble: (about, message) => trouble.onAddressOrPod(about, message),
    maps: opened.maps, endpoints, log,
    audit: endpoint => auditReason(endpoint, auditSources) !== undefined,
    policyIdentity: (endpoint, address) => networkIdentities.of(endpoint.identity, address),
    http: http.pods,
    refreshEngine: () => policies.refresh(),
    compile: (subject, direction) => engine.compile(subject, direction),
    forget: subject => engine.forget(subject),
    subjectOf: endpoint => policies.subjectOf(endpoint),
    hostRows: () => hostRows(node, devices, record.audit),
    hostSubject: () => hostSubject(inputs.nodes.table.get(node.name)),
    takeAddresses: () => addresses.take(),
    synced: isSynced,
    onLoaded: (outcome, seconds) => counters.loaded(outcome, seconds),
    onPass: () => {
      isNamed ||= isSynced();
      dns.passed();
      enforcement.passed(policies.revision);
      if (isSynced() && regenerator.failures.size === 0) counters.policyInForce(policies.revision);
      if (isSynced() && regenerator.failures.size === 0 && regenerator.endpointReconciler.settled) layer7.sets.retire(engine.l7Sets());
      if (policies.settling && regenerator.failures.size === 0) oneMorePass();
      policyStatus.mark();
    },
  });
  const enforcement: Enforcement = new Enforcement({
    endpoints, isSynced,
    failures: () => regenerator.failures,
    rowErrors: () => regenerator.endpointReconciler.statuses(),
    hasSets: endpoint => regenerator.setsOf(endpoint) !== undefined,
    host: () => {
      const subject = hostSubject(inputs.nodes.table.get(node.name));
      return subject && { labels: subject.labels, hasSets: regenerator.host.isLoaded };
    },
  });
  const policyStatus = new PolicyStatusWriter({ nodeName: node.name }, {
    client, log, signal, sources: policySources(inputs).filter(source => source.hasStatus), reports: () => policyReports({ policies, enforcement, names: dns.names }),
  });
  const identifyDependencies = { client, pods: inputs.pods.table, namespaces: inputs.namespaces.table, allocator, clusterName: record.clusterName, log };
  const pool = new AddressPool([parsePrefix(node.podCidr4), parsePrefix(node.podCidr6)]);
  const manager = new EndpointManager({ podMtu: devices.podMtu, hostMac: devices.uplinkMac, router4: node.routerIp4, router6: node.routerIp6 }, {
    endpoints, store: new EndpointStore(nodePaths.endpoints), pool, netlink, programs, log,
    identify: async (namespace, podName) => {
      await waitFor('the first lists from the Kubernetes API', isSynced, { timeoutMs: 20_000 }).catch((cause: unknown) => {
        throw new CniError(cniErrorCode.tryAgainLater, 'the policies have not been read from the Kubernetes API yet', { mend: 'see whether the API answers: cirri status', cause });
      });
      return identifyPod(namespace, podName, identifyDependencies);
    },
    makeReady: endpoint => regenerator.makeReady(endpoint),
    commit: () => void regenerator.run(),
  });

  using netns = openOwnNetns();
  programs.attach(proxyAttachment(netns));
  // Take over: endpoints first, their programs, then the node's own hooks; nothing is empty in between.
  manager.adopt();
  regenerator.run();
  for (const attachment of nodeAttachments(devices, { fd: cgroup.fd, path: cgroupPath })) programs.attach(attachment);
  const sockmap = startSockmap({ enabled: record.settings.sockmap.enabled, cgroup: { fd: cgroup.fd, path: cgroupPath }, host: { cookie: netnsCookie(), endpoint: hostEndpointId } }, { programs, maps: opened.maps, endpoints, log, signal });
  const acceleration = accelerate({ acceleration: record.settings.loadBalancer.acceleration, devices }, { programs, maps: opened.maps });
  programs.detach(programs.leftovers);
  // The new programs write to the new maps: what the old ones wrote since the copy follows.
  const carriedOver = opened.carryOver(signal).then(entries => {
    if (entries > 0) log.info('maps of another size were filled from the old ones', { entries });
    removePins(opened.stale);
  }).catch((error: unknown) => log.error('maps of another size could not be filled from the old ones, which are left where they are', { error: errorText(error) }));
  for (const other of record.nodes) {
    if (other.name !== node.name) for (const route of remoteNodeRoutes(node, other, devices)) netlink.routeAdd(route);
  }

  for (const route of serviceRangeRoutes(record)) netlink.routeAdd(route);

  // Services and flows.
  const sockets = startSocketEnder({ programs, maps: opened.maps, namespaces: () => [...endpoints.rows()].map(endpoint => endpoint.netns), log, signal });
  const serviceInputs = startServiceInputs({ record, nodeName: node.name, inputs }, { log, signal, isHealthy: isSynced, onTrouble: (key, reason, message) => trouble.onServiceKey(key, reason, message) });
  const services = startServices({
    services: inputs.services.table, slices: inputs.endpointSlices.table, nodes: inputs.nodes.table,
    hostPorts: serviceInputs.hostPorts.table, redirects: serviceInputs.redirects.redirects, external: serviceInputs.external,
    maps: opened.maps, maglev: new KernelMaglevTables(opened.maps.maglev), limits: serviceLimits(opened.maps),
    nodeName: node.name, nodeAddresses: [node.underlay4, node.underlay6], settings: record.settings, log, signal,
    onFailed: (row, error) => trouble.onService(row, error),
    onTroubles: (key, troubles) => trouble.onServiceKey(key, 'ServiceNotServed', troubles.join('; ')),
    onGone: backends => sockets.gone(backends),
  });
  startRedirectExemptions({ redirects: serviceInputs.redirects, endpoints, map: opened.maps.redirectExempt, services }, { log, signal });
  const masquerade = startMasquerade({ settings: record.settings.ipMasqAgent }, { configMaps: inputs.configMaps.table, maps: opened.maps, log, signal });
  const lookups = createLookups({
    endpoints, identities, ciliumEndpoints: inputs.ciliumEndpoints.table as Table<CiliumEndpoint>,
    prefixIdentity: id => prefixes.labels(id) ?? nodeIdentities.labels(id) ?? networkIdentities.labels(id) ?? dns.names.labels(id),
    serviceByAddr: services.byAddress,
    rule: id => engine.ruleInfo(id),
    pods: inputs.pods.table, nodes: inputs.nodes.table, nodeName: node.name, clusterName: record.clusterName, policies, namesOf: (ip, viewer) => names.namesOf(ip, viewer), devices: new Map([[devices.uplinkIndex, uplinkName], [devices.overlayIndex, overlayName]]),
  });
  const observability = await startObservability({ record, node, paths, maps: opened.maps, lookups, names, metrics: { client, pods: inputs.ciliumEndpoints.table }, nodes: inputs.nodes.table, isReady: () => isNamed }, { log, signal });
  layer7.start(observability.flows);
  void feedAgentEvents({ endpoints, endpointRows: regenerator.endpointRows, addresses: regenerator.addresses, policies: policySources(inputs), policyRevision: () => policies.revision }, observability.agentEvents, { log, signal });
  const { flows, map } = observability;

  // Loops: each marks and does its work in its own time.
  const loops = [
    policyStatus.run(),
    regenerateLoop({
      regenerator, signal, log,
      onFailed: message => {
        enforcement.failed(message);
        policyStatus.mark();
      },
      inputs: [endpoints, identities, ...policies.watched, inputs.ciliumEndpoints.table, inputs.pods.table, inputs.namespaces.table, { watch: onMark => { oneMorePass = onMark; return () => {}; } }],
    }),
    derive({ name: 'endpoint identities', inputs: [inputs.pods.table, inputs.namespaces.table], step: () => refreshIdentities(endpoints, identifyDependencies) }, { log, signal }),
    derive({
      name: 'cilium endpoints', inputs: [endpoints, inputs.ciliumEndpoints.table, inputs.pods.table],
      step: async () => {
        if (isSynced()) await publishEndpoints({ nodeAddress: node.underlay4 }, { client, local: endpoints, pods: inputs.pods.table, published: inputs.ciliumEndpoints.table as Table<CiliumEndpoint> });
      },
    }, { log, signal }),
    // Identities are made before the runtime asks: a pod that is scheduled here needs one soon.
    derive({
      name: 'identities of scheduled pods', inputs: [inputs.pods.table, inputs.namespaces.table],
      step: async () => {
        if (!isSynced()) return;
        for (const pod of inputs.pods.table.rows()) {
          const labels = pod.metadata.deletionTimestamp ? undefined : podIdentityLabels(pod, identifyDependencies);
          if (labels) await allocator.allocate(labels);
        }
      },
    }, { log, signal }),
  ];

  const policyAudit = new PolicyAudit({ entriesPerStep: 500 }, {
    sets: regenerator.sets, log, isReady: isSynced, onDifference: text => trouble.onPolicyDifference(text),
  });
  policyAudit.start(1_000, signal);
  const conntrackSweep = new ConntrackSweep({ maps: opened.maps, program: name => programs.program(name), log });
  conntrackSweep.start(signal);
  http.start();

  const parts: AgentParts = {
    record, node, startedAt, devices, programs, opened, inputs, identities, endpoints, regenerator, policies, enforcement, flows, map, pool, isSynced, policyAudit, conntrackSweep,
    prefixes, nodeIdentities, networkIdentities, names: dns.names, auditSources,
    services, serviceInputs, masquerade, acceleration,
    l7: { listener: layer7.listener, inUse: () => engine.l7Sets(), kernel: http },
    features: [() => masqueradeFeature(record, [...masquerade.table.keys()], masquerade.trouble), () => sockets.status(), () => sockmap, () => externalAddressFeature(serviceInputs.external.table.rows()), () => acceleration.status(), () => layer7.status(engine.l7Sets()), () => http.status(engine.l7Sets()), () => dns.names.status(), ...observability.features],
    rule: id => engine.ruleInfo(id),
    identityLabels: id => lookups.identityLabels(id),
  };
  startAgentMetrics(parts, counters, { log, signal });
  const routes = agentRoutes(parts);
  const api = await startLocalApi({ socketPath: nodePaths.agentSocket, routes }, { log });
  await takePendingDeletes(nodePaths.cniSocket, manager);
  const cni = await startCniServer({ socketPath: nodePaths.cniSocket }, { manager, log });
  log.info('agent is up', { adoptedMaps: opened.adopted.length, adoptedPrograms: programs.adopted, endpoints: endpoints.size });
  void synced.then(() => log.info('first lists are complete', { policies: policies.size, identities: identities.size }));

  await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
  api.close();
  api.closeAllConnections();
  cni.close();
  await Promise.allSettled([...loops, carriedOver]);
  programs.close();
  netlink.close();
  log.info('agent stops; what it put into the kernel goes on');
}

async function regenerateLoop(options: {
  readonly regenerator: Regenerator;
  readonly inputs: readonly { watch(onMark: () => void): () => void }[];
  readonly onFailed: (message: string) => void;
  readonly signal: AbortSignal;
  readonly log: Logger;
}): Promise<void> {
  const { regenerator, inputs, onFailed, signal, log } = options;
  const mark = new Signal();
  for (const input of inputs) input.watch(() => mark.mark());
  let nextMs: number | undefined = 0;
  while (!signal.aborted) {
    await mark.wait(nextMs === undefined ? { signal } : { timeoutMs: nextMs, signal });
    // Objects come in bursts: one pass for all that arrived in this turn of the event loop.
    await new Promise(resolve => setImmediate(resolve));
    if (signal.aborted) return;
    try {
      nextMs = regenerator.run();
    } catch (error) {
      onFailed(errorText(error));
      log.error('a pass failed; what was in force stays', { error: errorText(error), stack: error instanceof Error ? error.stack : undefined });
      nextMs = 1_000;
    }
  }
}

/** CiliumIdentity objects as rows; an object that is none is left out. */
function identityTable(objects: Table<Parameters<typeof identityFromObject>[0]>, signal: AbortSignal, log: Logger): Table<Identity> {
  const table = new Table<Identity>('identities', identity => String(identity.id));
  const changes = objects.changes(() => take());
  const take = () => {
    const { changed, deleted } = changes.take();
    for (const object of changed) {
      const identity = identityFromObject(object);
      if (identity) table.upsert(identity);
      else log.warn('CiliumIdentity is not usable: its name must be a number from 256 to 65535 and it must have security-labels', { name: object.metadata.name });
    }
    table.delete(...deleted);
  };
  signal.addEventListener('abort', () => changes.stop(), { once: true });
  return table;
}

function hostRows(node: NodeRecord, devices: { readonly uplinkIndex: number; readonly uplinkMac: string }, audit: boolean): EndpointRow[] {
  return [node.underlay4, node.underlay6, node.routerIp4, node.routerIp6].map(address => ({
    address, ifindex: devices.uplinkIndex, id: hostEndpointId, identity: reserved.host, ingressSet: 0, egressSet: 0,
    mac: devices.uplinkMac, hostMac: devices.uplinkMac, ready: true, host: true, audit,
  }));
}

function nodeAddresses(node: NodeRecord, local: boolean, routing: ClusterRecord['routing']) {
  return {
    name: node.name, local,
    underlay: [node.underlay4, node.underlay6],
    routers: [node.routerIp4, node.routerIp6],
    ...(local || routing === 'native' ? {} : { tunnel: node.underlay4 }),
  };
}
