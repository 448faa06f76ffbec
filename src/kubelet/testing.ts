/** For tests: a node of its own name with real containers, a network plugin that does nothing, and an API in memory. */
import { randomUUID } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../std/async.ts';
import { silentLogger } from '../std/log.ts';
import type { Logger } from '../std/log.ts';
import { Table } from '../table/table.ts';
import { objectKey } from '../kube/reflector.ts';
import { statePaths } from '../model/cluster.ts';
import { defaultSettings } from '../model/settings.ts';
import type { ClusterRecord } from '../model/cluster.ts';
import { assemble, layoutOf } from './assemble.ts';
import { cleanupNode } from './testing-cleanup.ts';
import type { Dependencies, PodApi } from './context.ts';
import type { Data, ObjectSource, Token } from './objects.ts';
import { Kubelet } from './kubelet.ts';
import type { Pod, PodSpec, PodStatus } from './types.ts';

export const repositoryRoot = join(import.meta.dirname, '../..');

/** Unix socket paths are short, so is this. */
export function testInstance(): string {
  return `kt${Math.floor(Math.random() * 36 ** 4).toString(36).padStart(4, '0')}`;
}

export function testCluster(instance: string): ClusterRecord {
  return {
    instance, version: 'test',
    nodes: [{ name: 'node1', index: 1, underlay4: '172.30.250.11', underlay6: 'fdc1:250::11', podCidr4: '10.244.1.0/24', podCidr6: 'fd00:10:244:1::/64', routerIp4: '10.244.1.1', routerIp6: 'fd00:10:244:1::1' }],
    underlay: { bridge: `${instance}0`, prefix4: '172.30.250.0/24', prefix6: 'fdc1:250::/64', host4: '172.30.250.1', host6: 'fdc1:250::1' },
    serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112', loadBalancerCidr4: '198.51.100.0/24', loadBalancerCidr6: '2001:db8:1::/112', clusterCidr4: '10.244.0.0/16', clusterCidr6: 'fd00:10:244::/48',
    routing: 'tunnel', apiserver: { port: 6443 }, dnsIp4: '10.96.0.10', dnsIp6: 'fd00:10:96::a', clusterDomain: 'cluster.local', clusterName: 'test', policyMode: 'default', audit: false, settings: defaultSettings,
  };
}

/** Calls are noted in CALLS, one line each; the file FAIL makes ADD fail with its content as the message. */
const plugin = (dir: string) => `#!/bin/sh
cat >/dev/null
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS" >>${dir}/calls
[ -f ${dir}/fail ] && [ "$CNI_COMMAND" = ADD ] && { printf '{"cniVersion":"1.0.0","code":11,"msg":"%s"}' "$(cat ${dir}/fail)"; exit 1; }
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.244.1.9/32"},{"address":"fd00:10:244:1::9/128"}]}'
exit 0
`;

export class FakeApi implements PodApi, ObjectSource {
  readonly pods = new Table<Pod>('pods', objectKey);
  readonly statuses = new Map<string, PodStatus>();
  readonly removed: string[] = [];
  readonly events: { readonly reason: string; readonly message: string; readonly type: string; readonly about: string }[] = [];
  readonly configMaps = new Map<string, Data>();
  readonly secrets = new Map<string, Data>();
  readonly #listed = this.pods.producer('test');

  /** The first list has come. */
  listed(): void {
    this.#listed.synced();
  }

  patchStatus(pod: Pod, status: PodStatus): Promise<void> {
    this.statuses.set(pod.metadata.name, status);
    const there = this.pods.get(objectKey(pod));
    if (there) this.pods.upsert({ ...there, status });
    return Promise.resolve();
  }

  remove(pod: Pod): Promise<void> {
    this.removed.push(pod.metadata.name);
    this.pods.delete(objectKey(pod));
    return Promise.resolve();
  }

  configMap(_namespace: string, name: string): Promise<Data | undefined> {
    return Promise.resolve(this.configMaps.get(name));
  }

  secret(_namespace: string, name: string): Promise<Data | undefined> {
    return Promise.resolve(this.secrets.get(name));
  }

  token(): Promise<Token | undefined> {
    return Promise.resolve({ token: 'a.test.token', expiresAt: Date.now() + 3_600_000 });
  }
}

export class TestNode {
  readonly instance: string;
  readonly state: string;
  api = new FakeApi();
  readonly paths;
  readonly layout;
  readonly #log: Logger;
  #stop = new AbortController();
  parts!: Dependencies;
  kubelet: Kubelet = undefined as unknown as Kubelet;

  /** `earlier`: the node of another process, to be taken over. */
  constructor(log: Logger = silentLogger, earlier?: { readonly instance: string; readonly state: string }) {
    this.instance = earlier?.instance ?? testInstance();
    this.state = earlier?.state ?? mkdtempSync(join(tmpdir(), `${this.instance}-`));
    this.paths = statePaths(this.instance, this.state);
    this.layout = layoutOf(this.paths, this.instance, 'node1');
    this.#log = log;
    mkdirSync(this.paths.cniBinDir, { recursive: true });
    mkdirSync(this.layout.node.cniConfDir, { recursive: true });
    mkdirSync('/run/netns', { recursive: true });
    writeFileSync(`${this.paths.cniBinDir}/noop`, plugin(this.state));
    chmodSync(`${this.paths.cniBinDir}/noop`, 0o755);
    writeFileSync(`${this.layout.node.cniConfDir}/10-noop.conflist`, JSON.stringify({ cniVersion: '1.0.0', name: 'noop', plugins: [{ type: 'noop' }] }));
  }

  /** A kubelet over what is on disk; call it again after `stop` for a restart. `apiAway`: with an API that has not answered yet. */
  async start(options: { readonly apiAway?: boolean } = {}): Promise<void> {
    this.#stop = new AbortController();
    if (options.apiAway) this.api = new FakeApi();
    const cluster = testCluster(this.instance);
    const recorder = { event: (about: { name: string }, type: string, reason: string, message: string) => void this.api.events.push({ about: about.name, type, reason, message }) };
    this.parts = assemble({ cluster, node: cluster.nodes[0]!, paths: this.paths, root: repositoryRoot }, { pods: this.api, objects: this.api, recorder, traffic: { gone: async () => {} } }, this.#log);
    await this.parts.runtime.mountTmpfs(this.layout.volumesDir, 16 << 20);
    this.kubelet = new Kubelet({ pods: this.api.pods, signal: this.#stop.signal }, this.parts);
    this.kubelet.start();
    if (!options.apiAway) this.api.listed();
  }

  /** The kubelet is told to end, the pods are not. */
  stop(): void {
    this.#stop.abort();
  }

  async remove(): Promise<void> {
    this.stop();
    await this.kubelet?.stopped();
    await cleanupNode({ paths: this.paths, instance: this.instance, node: 'node1', root: repositoryRoot });
    rmSync(this.state, { recursive: true, force: true });
  }

  addPod(name: string, spec: Partial<PodSpec> & { readonly containers: PodSpec['containers'] }, metadata: object = {}): Pod {
    const pod: Pod = {
      apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', uid: randomUUID(), ...metadata },
      spec: { nodeName: 'node1', terminationGracePeriodSeconds: 5, ...spec },
    };
    this.api.pods.upsert(pod);
    return pod;
  }

  /** As `kubectl delete` does. */
  deletePod(name: string, graceSeconds = 5): void {
    const pod = this.api.pods.get(`default/${name}`)!;
    const deletionTimestamp = new Date(Date.now() + graceSeconds * 1000).toISOString();
    this.api.pods.upsert({ ...pod, metadata: { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds } });
  }

  status(name: string): PodStatus | undefined {
    return this.api.statuses.get(name);
  }

  until(name: string, what: string, holds: (status: PodStatus) => unknown, timeoutMs = 10_000): Promise<PodStatus> {
    return waitFor(`pod ${name} to be ${what} (it is ${JSON.stringify(this.status(name))})`, () => {
      const status = this.status(name);
      return status && holds(status) ? status : undefined;
    }, { timeoutMs });
  }

  untilReady(name: string, timeoutMs?: number): Promise<PodStatus> {
    return this.until(name, 'Ready', s => s.conditions?.find(c => c.type === 'Ready')?.status === 'True', timeoutMs);
  }

  cniCalls(): string[] {
    return existsSync(`${this.state}/calls`) ? readFileSync(`${this.state}/calls`, 'utf8').trim().split('\n') : [];
  }
}
