import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { Context } from '../../../src/cli/context.ts';
import type { PodObject } from '../../../src/cli/pods.ts';
import { Directory } from '../../../src/cli/probe/target.ts';
import { KubeClient } from '../../../src/kube/client.ts';
import { resources, type Resource } from '../../../src/kube/resources.ts';
import type { EndpointSlice, KubeObject, Pod, Service } from '../../../src/kube/types.ts';
import type { ClusterRecord } from '../../../src/model/cluster.ts';
import { Client, type Answer, type Held, type Report } from '../client.ts';
import { eventually, TestCluster } from '../cluster.ts';
import { OutsideNetwork } from '../outside.ts';

export type { Answer } from '../client.ts';
export type Wish = Parameters<Client['request']>[0];
export type Protocol = 'TCP' | 'UDP';
export const protocols: readonly Protocol[] = ['TCP', 'UDP'];
export const families = [4, 6] as const;
export type Family = (typeof families)[number];
export const port = 8080;
export const namespace = 'svc';

/** How long a change may take from the API to the last kernel, on a machine that is busy with other things. */
const changeMs = 20_000;

/**
 * A cluster with clients everywhere:
 *
 *   node1: node1's own processes, pod client-1                 outside ── router ── both nodes
 *   node2: node2's own processes, pod client-2
 *
 * Objects that a test makes go with the test.
 */
export class World {
  readonly cluster: TestCluster;
  readonly #clients = new Map<string, Client>();
  #context: Context | undefined;
  #outside: OutsideNetwork | undefined;

  constructor(tag: string) {
    this.cluster = new TestCluster(tag);
  }

  async start(...flags: string[]): Promise<void> {
    await this.cluster.start('--no-demo', ...flags);
    const { paths, instance } = this.cluster;
    const record = JSON.parse(readFileSync(paths.clusterJson, 'utf8')) as ClusterRecord;
    this.#context = { instance, paths, record, client: new KubeClient({ socketPath: paths.apiserverSocket, userAgent: 'cirri-e2e' }) };
    this.#outside = new OutsideNetwork(record, paths);
    await this.api.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    for (const [name, node] of [['client-1', 'node1'], ['client-2', 'node2']] as const) await this.api.create(resources.pods, pod(name, node, { role: 'client' }, { image: 'cirri/client' }));
    await this.podsReady('client-1', 'client-2');
  }

  /** Whatever state it is in. */
  async stop(): Promise<void> {
    for (const client of this.#clients.values()) client.close();
    this.#context?.client.close();
    await this.cluster.stop();
  }

  get api(): KubeClient {
    return this.#context!.client;
  }

  get record(): ClusterRecord {
    return this.#context!.record;
  }

  get outside(): OutsideNetwork {
    return this.#outside!;
  }

  /** `outside`, a node's name, or a pod's of the tests' namespace. */
  async client(name: string): Promise<Client> {
    let client = this.#clients.get(name);
    if (!client) this.#clients.set(name, (client = new Client(await this.origin(name))));
    return client;
  }

  async origin(name: string) {
    if (name === 'outside') return this.outside.client;
    if (name === 'router') return this.outside.router;
    return (await Directory.read(this.#context!)).origin(this.record.nodes.some(node => node.name === name) ? name : `${namespace}/${name}`);
  }

  /** Of a node that the client must not be asked of again: its pod has gone. */
  forget(name: string): void {
    this.#clients.get(name)?.close();
    this.#clients.delete(name);
  }

  nodeAddress(node: string, family: Family): string {
    const found = this.record.nodes.find(one => one.name === node)!;
    return family === 4 ? found.underlay4 : found.underlay6;
  }

  /** Made now, gone with the test. */
  async make<T extends KubeObject>(t: TestContext, ...objects: readonly T[]): Promise<readonly T[]> {
    const made: T[] = [];
    for (const object of objects) {
      const resource = resourceOf(object);
      made.push(await this.api.create(resource, object));
      t.after(() => this.api.delete(resource, object.metadata.name, resource.namespaced ? namespace : undefined, { gracePeriodSeconds: 0 }));
    }
    return made;
  }

  async service(t: TestContext, name: string, spec: Partial<Service['spec'] & object> & Record<string, unknown>, metadata: object = {}): Promise<Service> {
    const [made] = await this.make(t, service(name, spec, metadata));
    return made!;
  }

  patchService(name: string, change: object): Promise<Service> {
    return this.api.patch<Service>(resources.services, name, namespace, change, { type: 'merge' });
  }

  /** Their addresses by name, once all are ready. */
  async podsReady(...names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    let ready: (Pod & PodObject)[] = [];
    await eventually(`pods ${names.join(', ')} are ready`, 60_000, async () => {
      const { items } = await this.api.list<Pod & PodObject>(resources.pods, { namespace });
      ready = items.filter(one => names.includes(one.metadata.name) && one.status?.conditions?.some(condition => condition.type === 'Ready' && condition.status === 'True'));
      return ready.length === names.length ? undefined : `ready: ${ready.map(one => one.metadata.name).join(', ')}`;
    });
    return new Map(ready.map(one => [one.metadata.name, (one.status?.podIPs ?? []).map(each => each.ip)]));
  }

  async backends(t: TestContext, app: string, nodes: readonly string[], options: PodOptions = {}): Promise<readonly string[]> {
    const names = nodes.map((_, i) => `${app}-${i + 1}`);
    await this.make(t, ...names.map((name, i) => pod(name, nodes[i]!, { app }, options)));
    if (options.unready !== true) await this.podsReady(...names);
    for (const name of names) t.after(() => this.forget(name));
    return names;
  }

  slices(name: string): Promise<readonly EndpointSlice[]> {
    return this.api.list<EndpointSlice>(resources.endpointSlices, { namespace, labelSelector: `kubernetes.io/service-name=${name}` }).then(list => list.items);
  }

  async ask(from: string, wish: Wish): Promise<Answer> {
    return (await this.client(from)).request(wish);
  }

  async hold(from: string, wish: Wish): Promise<Held> {
    return (await this.client(from)).hold(wish);
  }

  async many(from: string, wish: Wish, count: number, concurrency?: number): Promise<Report> {
    return (await this.client(from)).many(wish, count, concurrency);
  }

  /** Asks until the answer is as wanted; returns it. */
  async expect(from: string, wish: Wish, wanted: Wanted, what = ''): Promise<Answer> {
    let last: Answer = { outcome: 'silent' };
    const isRight = typeof wanted === 'string' ? (answer: Answer) => answer.outcome === wanted : wanted;
    const short = wanted === 'silent' ? { timeoutMs: 700 } : {};
    await eventually(`${what} ${from} → ${wish.protocol ?? 'TCP'} ${wish.to}:${wish.port} ${typeof wanted === 'string' ? wanted : ''}`, changeMs, async () => {
      last = await this.ask(from, { ...short, ...wish });
      return isRight(last) ? undefined : JSON.stringify(last);
    });
    return last;
  }

  /** Every one of these clients, at the same time. */
  async expectAll(froms: readonly string[], wishes: readonly Wish[], wanted: Wanted, what = ''): Promise<readonly Answer[]> {
    return Promise.all(froms.flatMap(from => wishes.map(wish => this.expect(from, wish, wanted, what))));
  }

  /** There is nobody, and that is said at once: once it is so everywhere, no client waits for a second packet. */
  async expectToldAtOnce(froms: readonly string[], wishes: readonly Wish[]): Promise<void> {
    const isTold = ({ outcome }: Answer) => outcome === 'refused' || outcome === 'unreachable';
    await this.expectAll(froms, wishes, isTold, 'nobody is there:');
    const asked = froms.flatMap(from => wishes.map(wish => [from, wish] as const));
    for (const [i, answer] of (await this.expectAll(froms, wishes, isTold, 'nobody is there:')).entries()) {
      // All at the same time a busy machine may be slow; who is told at a second packet only is so alone, too.
      let ms = answer.ms!;
      for (let turn = 0; turn < 2 && ms >= 900; turn++) ms = (await this.expect(...asked[i]!, isTold, 'nobody is there:')).ms!;
      assert.ok(ms < 900, `told after ${ms} ms`);
    }
  }

  /** Every backend named is met within so many connections, and none else. */
  async expectSpread(from: string, wish: Wish, pods: readonly string[], count = 40): Promise<void> {
    await eventually(`${from} → ${wish.to}:${wish.port} is served by ${pods.join(', ')} alone`, changeMs, async () => {
      const report = await this.many(from, wish, count);
      const met = Object.keys(report.served).sort();
      return met.join() === [...pods].sort().join() && Object.keys(report.failed).length === 0 ? undefined : JSON.stringify(report);
    });
  }
}

export type Wanted = Answer['outcome'] | ((answer: Answer) => boolean);

export interface PodOptions {
  readonly image?: string;
  readonly ports?: readonly object[];
  readonly spec?: object;
  readonly container?: object;
  readonly annotations?: object;
  /** Is not waited for. */
  readonly unready?: boolean;
}

export function pod(name: string, node: string, labels: Readonly<Record<string, string>>, options: PodOptions = {}): Pod {
  const image = options.image ?? 'cirri/echo';
  const ports = options.ports ?? (image === 'cirri/echo' ? protocols.map(protocol => ({ containerPort: port, protocol })) : []);
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels, ...(options.annotations && { annotations: options.annotations }) },
    spec: { nodeName: node, terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, enableServiceLinks: false, containers: [{ name: 'main', image, ports, ...options.container }], ...options.spec },
  } as unknown as Pod;
}

/** TCP and UDP 80 → 8080 of both families, unless the spec says otherwise. */
export function service(name: string, spec: object, metadata: object = {}): Service {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, ...metadata },
    spec: { ipFamilyPolicy: 'PreferDualStack', ports: protocols.map(protocol => ({ name: protocol.toLowerCase(), port: 80, protocol, targetPort: port })), ...spec },
  } as unknown as Service;
}

export function clusterIp(of: Service, family: Family): string {
  return (of.spec?.clusterIPs ?? []).find(address => address.includes(':') === (family === 6))!;
}

export function nodePort(of: Service, protocol: Protocol = 'TCP'): number {
  const found = of.spec?.ports?.find(one => (one.protocol ?? 'TCP') === protocol)?.nodePort;
  assert.ok(found, `${of.metadata.name} has a node port`);
  return found;
}

/** The service's cluster address, of both families and protocols. */
export function clusterWishes(of: Service, withProtocols = protocols): Wish[] {
  return families.flatMap(family => withProtocols.map(protocol => ({ to: clusterIp(of, family), port: 80, protocol })));
}

function resourceOf(object: KubeObject): Resource {
  const found = Object.values<Resource>(resources).find(one => one.kind === object.kind);
  assert.ok(found, `${object.kind} is known`);
  return found;
}
