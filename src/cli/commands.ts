import type { Command } from 'commander';

export interface CommandModule {
  register(program: Command): void;
}

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** Every command, in the order of the help text. */
export const commands: ReadonlyMap<string, Entry> = new Map<string, Entry>([
  ['up', { summary: 'start a cluster on this machine, or repair the one that is there', load: () => import('./commands/up.ts') }],
  ['down', { summary: 'remove the cluster and everything it made', load: () => import('./commands/down.ts') }],
  ['status', { summary: 'how the cluster is', load: () => import('./commands/status.ts') }],
  ['config', { summary: "a cluster's settings: view, set", load: () => import('./commands/config.ts') }],
  ['kubeconfig', { summary: 'path of the kubeconfig', load: () => import('./commands/kubeconfig.ts') }],
  ['apply', { summary: 'create or change objects from files', load: () => import('./commands/apply.ts') }],
  ['get', { summary: 'show objects', load: () => import('./commands/get.ts') }],
  ['delete', { summary: 'delete objects', load: () => import('./commands/delete.ts') }],
  ['exec', { summary: 'run a command in a pod', load: () => import('./commands/exec.ts') }],
  ['logs', { summary: "a pod's output", load: () => import('./commands/logs.ts') }],
  ['probe', { summary: 'try one real connection from a pod, and say why it fails', load: () => import('./commands/probe.ts') }],
  ['observe', { summary: 'see flows: what was allowed and denied, and by which rule', load: () => import('./commands/observe.ts') }],
  ['flows', { summary: 'flows of the past: query, sql, export, status, report', load: () => import('./commands/flows.ts') }],
  ['monitor', { summary: "the datapath's events as they happen, in the layout of cilium monitor", load: () => import('./commands/monitor.ts') }],
  ['hubble', { summary: "Hubble's command line, with its output: observe, status, list, watch, config", load: () => import('./commands/hubble.ts') }],
  ['cilium', { summary: "Cilium's command names, on these: monitor, status, service list, endpoint get, bpf", load: () => import('./commands/cilium.ts') }],
  ['ui', { summary: 'the web UI: live service map, flows, policies, the past', load: () => import('./commands/ui.ts') }],
  ['endpoint', { summary: 'pods as the datapath knows them', load: () => import('./commands/endpoint.ts') }],
  ['service', { summary: 'services as the datapath knows them', load: () => import('./commands/service.ts') }],
  ['lb', { summary: 'how services choose their backends: maglev', load: () => import('./commands/lb.ts') }],
  ['lrp', { summary: 'local redirect policies on each node', load: () => import('./commands/lrp.ts') }],
  ['bpf', { summary: "the kernel's maps: lb, ct, nat, ipcache, endpoint, metrics, ipmasq", load: () => import('./commands/bpf.ts') }],
  ['identity', { summary: 'identities and their labels', load: () => import('./commands/identity.ts') }],
  ['fqdn', { summary: 'DNS names: what pods looked up, what policies select', load: () => import('./commands/fqdn.ts') }],
  ['proxy', { summary: 'layer 7 proxies of the nodes: status, connections, restart', load: () => import('./commands/proxy.ts') }],
  ['metrics', { summary: 'metrics of the agents: list, get', load: () => import('./commands/metrics.ts') }],
  ['dashboards', { summary: 'write Grafana dashboards, and a configuration for Prometheus', load: () => import('./commands/dashboards.ts') }],
  ['policy', { summary: 'what policies do: get, evaluate, explain, matrix, diff, test, lint, verify, stats, shadow, recommend, replay', load: () => import('./commands/policy.ts') }],
  ['conformance', { summary: 'run conformance cases through the policy engine, or between real pods', load: () => import('./commands/conformance.ts') }],
  ['bench', { summary: 'measure speed beside iptables, nftables and other CNI plugins', load: () => import('./commands/bench.ts') }],
  ['test', { summary: 'run all tests of this project', load: () => import('./commands/test.ts') }],
  ['completion', { summary: 'completion for bash, zsh or fish', load: () => import('./commands/completion.ts') }],
  ['version', { summary: 'versions', load: () => import('./commands/version.ts') }],
]);
