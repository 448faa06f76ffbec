import { defaultSettings, withDefaults, type Settings } from './settings.ts';

/** The record of a local cluster, `cluster.json` in the state folder: written by `cirri up`, read by every process of the instance. */
export interface ClusterRecord {
  readonly instance: string;
  readonly version: string;
  readonly nodes: readonly NodeRecord[];
  readonly underlay: {
    readonly bridge: string;
    readonly prefix4: string;
    readonly prefix6: string;
    readonly host4: string;
    readonly host6: string;
  };
  readonly serviceCidr4: string;
  readonly serviceCidr6: string;
  /** Addresses for services of type LoadBalancer: the pool `default`. The host has routes to them over all nodes. */
  readonly loadBalancerCidr4: string;
  readonly loadBalancerCidr6: string;
  readonly clusterCidr4: string;
  readonly clusterCidr6: string;
  readonly routing: 'tunnel' | 'native';
  readonly apiserver: { readonly port: number };
  readonly dnsIp4: string;
  readonly dnsIp6: string;
  readonly clusterDomain: string;
  readonly clusterName: string;
  /** As upstream's policyEnforcementMode. */
  readonly policyMode: 'default' | 'always' | 'never';
  /** Denials are reported as AUDIT and pass. */
  readonly audit: boolean;
  readonly settings: Settings;
}

export interface NodeRecord {
  readonly name: string;
  /** From 1. */
  readonly index: number;
  readonly underlay4: string;
  readonly underlay6: string;
  readonly podCidr4: string;
  readonly podCidr6: string;
  readonly routerIp4: string;
  readonly routerIp6: string;
}

/** The record from the text of `cluster.json`. An older record has not all fields: they are as a new one's would be. */
export function parseRecord(text: string): ClusterRecord {
  const record = JSON.parse(text) as ClusterRecord;
  const subnet = Number(/^172\.30\.(\d+)\./.exec(record.underlay.prefix4)?.[1] ?? 0);
  return { ...loadBalancerRanges(subnet), ...record, settings: withDefaults(record.settings as unknown, defaultSettings) };
}

/** The ranges of a cluster on 172.30.`subnet`.0/24. */
export function loadBalancerRanges(subnet: number): Pick<ClusterRecord, 'loadBalancerCidr4' | 'loadBalancerCidr6'> {
  return { loadBalancerCidr4: `172.31.${subnet}.0/24`, loadBalancerCidr6: `fdc1:${subnet}:1::/112` };
}

/** Where everything of an instance lives; see the table in docs/DESIGN.md. Pure: makes nothing. */
export interface StatePaths {
  readonly state: string;
  readonly clusterJson: string;
  readonly kubeconfig: string;
  readonly bpffs: string;
  readonly run: string;
  readonly logs: string;
  readonly apiserverDir: string;
  readonly apiserverSocket: string;
  readonly cniBinDir: string;
  /** gRPC: Hubble's API over all nodes; HTTP: the web UI. */
  readonly relaySocket: string;
  readonly webSocket: string;
  /** Certificates of the Hubble API, tokens of the web UI. */
  readonly hubbleDir: string;
  node(name: string): NodePaths;
}

export interface NodePaths {
  readonly netns: string;
  readonly maps: string;
  readonly links: string;
  readonly programs: string;
  readonly agentSocket: string;
  readonly cniSocket: string;
  readonly kubeletSocket: string;
  readonly runcRoot: string;
  readonly pods: string;
  readonly endpoints: string;
  readonly cniConfDir: string;
  /** gRPC: Hubble's API of this node. */
  readonly hubbleSocket: string;
  readonly historySocket: string;
  /** The node's flow history. */
  readonly history: string;
  /** The layer 7 proxy's own, and the agent's for its records. */
  readonly proxySocket: string;
  readonly l7Socket: string;
  /** Layer 7 sets, a file each (NUMBER.json, `L7Set`): written before a verdict names them. Root only: they may hold keys. */
  readonly l7Sets: string;
  /** What the numbers mean that the kernel's rows of DNS names bear. */
  readonly names: string;
}

const instancePattern = /^[a-z][a-z0-9]{0,7}$/;

/** Instance name and state folder from the environment. Throws on a name that would not fit into device names. */
export function instanceFromEnv(env: Readonly<Record<string, string | undefined>>): { instance: string; paths: StatePaths } {
  const instance = env['CIRRI_INSTANCE'] ?? 'cirri';
  if (!instancePattern.test(instance)) {
    throw new Error(`CIRRI_INSTANCE "${instance}" must match ${instancePattern.source}: it becomes part of device names`);
  }
  return { instance, paths: statePaths(instance, env['CIRRI_STATE'] ?? `/var/lib/cirri/${instance}`) };
}

export function statePaths(instance: string, state: string): StatePaths {
  return {
    state,
    clusterJson: `${state}/cluster.json`,
    kubeconfig: `${state}/kubeconfig`,
    bpffs: `${state}/bpf`,
    run: `${state}/run`,
    logs: `${state}/logs`,
    apiserverDir: `${state}/apiserver`,
    apiserverSocket: `${state}/run/apiserver.sock`,
    cniBinDir: `${state}/cni/bin`,
    relaySocket: `${state}/run/relay.sock`,
    webSocket: `${state}/run/web.sock`,
    hubbleDir: `${state}/hubble`,
    node: name => ({
      netns: `/run/netns/${instance}-${name}`,
      maps: `${state}/bpf/${name}/maps`,
      links: `${state}/bpf/${name}/links`,
      programs: `${state}/bpf/${name}/programs`,
      agentSocket: `${state}/run/${name}/agent.sock`,
      cniSocket: `${state}/run/${name}/cni.sock`,
      kubeletSocket: `${state}/run/${name}/kubelet.sock`,
      runcRoot: `${state}/runc/${name}`,
      pods: `${state}/pods/${name}`,
      endpoints: `${state}/nodes/${name}/endpoints`,
      cniConfDir: `${state}/nodes/${name}/cni.d`,
      hubbleSocket: `${state}/run/${name}/hubble.sock`,
      historySocket: `${state}/run/${name}/history.sock`,
      history: `${state}/nodes/${name}/history`,
      proxySocket: `${state}/run/${name}/proxy.sock`,
      l7Socket: `${state}/run/${name}/l7.sock`,
      l7Sets: `${state}/nodes/${name}/l7`,
      names: `${state}/nodes/${name}/names.json`,
    }),
  };
}
