import { existsSync } from 'node:fs';
import { connectPodDevice, createPodDevice, deletePodDevice } from '../../datapath/pod-device.ts';
import { httpAttachments, podAttachments, type Programs } from '../../datapath/programs.ts';
import type { AddressPool } from '../../ipam/pool.ts';
import type { LabelSet } from '../../model/labels.ts';
import { errorText } from '../../std/errors.ts';
import { formatAddr, isIPv4, parseAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { openNetns } from '../../sys/netns.ts';
import { withExpeditedGracePeriods } from '../../sys/rcu.ts';
import type { Netlink } from '../../sys/netlink.ts';
import type { Table } from '../../table/table.ts';
import { CniError, cniErrorCode, cniResult, parseCniArgs, type CniRequest } from './cni.ts';
import { endpointAddresses, endpointKey, type Endpoint } from './endpoint.ts';
import type { EndpointStore } from './store.ts';

/** Who a pod is: what the API says of it when its sandbox is made. */
export interface PodIdentity {
  readonly identity: number;
  readonly labels: LabelSet;
  readonly podUid: string;
  readonly namedPorts: Endpoint['namedPorts'];
}

export interface EndpointManagerOptions {
  readonly podMtu: number;
  /** All host sides answer with one MAC, which the programs know (`config.host_mac`). */
  readonly hostMac: string;
  readonly router4: string;
  readonly router6: string;
}

export interface EndpointManagerDependencies {
  readonly endpoints: Table<Endpoint>;
  readonly store: EndpointStore;
  readonly pool: AddressPool;
  readonly netlink: Netlink;
  readonly programs: Programs;
  readonly log: Logger;
  /** Rejects with a CniError when the API cannot say. */
  readonly identify: (namespace: string, podName: string) => Promise<PodIdentity>;
  /** Brings policy, addresses and the endpoint's map rows into the kernel. Throws when this endpoint is not ready afterwards. */
  readonly makeReady: (endpoint: Endpoint) => void;
  /** Brings what the tables say into the kernel now: after it returns no row names a deleted endpoint. */
  readonly commit: () => void;
}

/**
 * Pods' ends on this node, from CNI ADD to CNI DEL. In ADD the order is the safety: identity → device (down) → programs →
 * policy loaded and read back → map rows → device up. Whatever fails is undone, and the answer says what failed.
 */
export class EndpointManager {
  readonly #options: EndpointManagerOptions;
  readonly #deps: EndpointManagerDependencies;
  /** One call at a time for each sandbox: a runtime may repeat ADD while the first still runs. */
  readonly #running = new Map<string, Promise<unknown>>();

  constructor(options: EndpointManagerOptions, dependencies: EndpointManagerDependencies) {
    this.#options = options;
    this.#deps = dependencies;
  }

  /** Takes over what an earlier agent left: records whose device is still there. The others are cleaned up. */
  adopt(): void {
    const { store, endpoints, pool, netlink, log } = this.#deps;
    const { endpoints: records, broken } = store.load();
    for (const { file, error } of broken) log.error('endpoint record cannot be read; the pod keeps what the kernel has', { file, error });
    for (const record of records) {
      const link = netlink.linkGet(record.hostInterface);
      if (!link || link.index !== record.ifindex) {
        log.info('endpoint went away while the agent was down', { id: record.id, pod: `${record.namespace}/${record.podName}` });
        this.#dispose(record);
        continue;
      }
      for (const address of endpointAddresses(record)) pool.claim(parseAddr(address));
      for (const attachment of podAttachments(record)) this.#deps.programs.attach(attachment);
      this.#adoptHttp(record);
      endpoints.upsert(record);
    }
  }

  /** Connections are running through these: exchanged in place, where this agent has them too. */
  #adoptHttp(record: Endpoint): void {
    const { programs } = this.#deps;
    for (const attachment of httpAttachments(record)) {
      if (programs.isPinned(attachment.pin) && programs.refusalOf(attachment.program) === undefined) programs.attach(attachment);
    }
  }

  async add(request: CniRequest): Promise<object> {
    return this.#alone(request, async () => {
      const existing = this.#deps.endpoints.get(endpointKey({ containerId: request.containerId, interfaceName: request.ifname }));
      const endpoint = existing ?? await this.#create(request);
      return cniResult(endpoint, request.config, { ipv4: this.#options.router4, ipv6: this.#options.router6 });
    });
  }

  /** Succeeds when there is nothing to delete: CNI DEL is repeated until it does. */
  async delete(request: Pick<CniRequest, 'containerId' | 'ifname'>): Promise<void> {
    await this.#alone(request, async () => {
      const endpoint = this.#deps.endpoints.get(endpointKey({ containerId: request.containerId, interfaceName: request.ifname }));
      if (endpoint) this.#dispose(endpoint);
    });
  }

  /** Throws a CniError that names the first thing that is not as ADD left it. */
  check(request: CniRequest): void {
    const endpoint = this.#deps.endpoints.get(endpointKey({ containerId: request.containerId, interfaceName: request.ifname }));
    if (!endpoint) throw new CniError(cniErrorCode.notAsBefore, `no endpoint for container ${request.containerId} interface ${request.ifname}`);
    const link = this.#deps.netlink.linkGet(endpoint.hostInterface);
    if (!link) throw new CniError(cniErrorCode.notAsBefore, `device ${endpoint.hostInterface} is gone`);
    if (!link.up) throw new CniError(cniErrorCode.notAsBefore, `device ${endpoint.hostInterface} is down`);
    this.#deps.makeReady(endpoint);
  }

  async #create(request: CniRequest): Promise<Endpoint> {
    const args = parseCniArgs(request.args);
    const namespace = args.get('K8S_POD_NAMESPACE') ?? '';
    const podName = args.get('K8S_POD_NAME') ?? '';
    if (!existsSync(request.netns)) throw new CniError(cniErrorCode.invalidEnvironment, `the network namespace ${request.netns} does not exist`);
    const who = await this.#deps.identify(namespace, podName);
    const addresses = this.#deps.pool.allocate();
    if (!addresses) {
      throw new CniError(cniErrorCode.tryAgainLater, `no pod address is free in ${this.#deps.pool.toString()}: all ${this.#deps.pool.capacity} are in use`, {
        mend: 'delete pods on this node, or give the node a larger pod CIDR',
      });
    }
    const id = this.#deps.store.nextId();
    const hostInterface = `cirri${id}`;
    const ipv4 = addresses.find(isIPv4);
    const ipv6 = addresses.find(addr => !isIPv4(addr));
    let endpoint: Endpoint | undefined;
    try {
      using netns = openNetns(request.netns);
      const device = createPodDevice(this.#deps.netlink, {
        netnsFd: netns.fd,
        interfaceName: request.ifname,
        hostInterface,
        mtu: this.#options.podMtu,
        hostMac: this.#options.hostMac,
        router4: this.#options.router4,
        router6: this.#options.router6,
        ...(ipv4 ? { ipv4: formatAddr(ipv4) } : {}),
        ...(ipv6 ? { ipv6: formatAddr(ipv6) } : {}),
      });
      endpoint = {
        id, containerId: request.containerId, interfaceName: request.ifname, netns: request.netns,
        namespace, podName, podUid: who.podUid, hostInterface,
        ifindex: device.ifindex, mac: device.mac, hostMac: device.hostMac,
        ...(ipv4 ? { ipv4: formatAddr(ipv4) } : {}),
        ...(ipv6 ? { ipv6: formatAddr(ipv6) } : {}),
        labels: who.labels.array, identity: who.identity, namedPorts: who.namedPorts,
        createdAt: new Date().toISOString(),
      };
      const attachments = podAttachments(endpoint);
      withExpeditedGracePeriods(() => attachments.forEach(attachment => this.#deps.programs.attach(attachment)));
      this.#deps.store.save(endpoint);
      this.#deps.endpoints.upsert(endpoint);
      this.#deps.makeReady(endpoint);
      connectPodDevice(this.#deps.netlink, device, endpointAddresses(endpoint));
      return endpoint;
    } catch (error) {
      this.#deps.log.error('pod network could not be made', { pod: `${namespace}/${podName}`, container: request.containerId, error: errorText(error) });
      if (endpoint) this.#dispose(endpoint);
      else {
        deletePodDevice(this.#deps.netlink, hostInterface);
        this.#deps.pool.release(addresses[0]!);
      }
      throw error;
    }
  }

  /** The table first: its rows go before the address may be given to anybody else. The links end with the device: only their pins are left. */
  #dispose(endpoint: Endpoint): void {
    const { endpoints, programs, netlink, store, pool } = this.#deps;
    endpoints.delete(endpointKey(endpoint));
    this.#deps.commit();
    deletePodDevice(netlink, endpoint.hostInterface);
    programs.detach([...podAttachments(endpoint), ...httpAttachments(endpoint)].map(attachment => attachment.pin));
    store.remove(endpoint.id);
    for (const address of endpointAddresses(endpoint)) pool.release(parseAddr(address));
  }

  async #alone<T>(request: Pick<CniRequest, 'containerId' | 'ifname'>, run: () => Promise<T>): Promise<T> {
    const key = `${request.containerId}/${request.ifname}`;
    const before = this.#running.get(key);
    const mine = (async () => {
      await before?.catch(() => {});
      return run();
    })();
    this.#running.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#running.get(key) === mine) this.#running.delete(key);
    }
  }
}
