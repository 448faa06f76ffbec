import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { proxyWorkers } from '../features/l7/start.ts';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';

/** One process of a cluster: what to run, and where. */
export interface ChildSpec {
  /** `apiserver`, `agent-node1`: also the name of its pid file and log. */
  readonly name: string;
  readonly main: string;
  readonly args: readonly string[];
  /** Flags of Node itself. */
  readonly nodeArgs?: readonly string[];
  /** Besides those that all have. */
  readonly env?: Readonly<Record<string, string>>;
  /** A restart starts the new process first: it takes over from the running one, which ends when it has handed over all. */
  readonly takesOver?: boolean;
  /** Another process of it stands by (`--spare`), and takes its place when it ends. */
  readonly spare?: boolean;
  /** The node's network namespace and system group; the host's when left out. */
  readonly netns?: string;
  readonly cgroup?: string;
}

/** A small young generation: a node's daemons hold little and must stay small, a burst may cost a few more collections. */
const smallHeap: readonly string[] = ['--max-semi-space-size=2', '--expose-gc'];

/**
 * Its heap is small, and its processor has other work than threads that help to collect: they would be waited for. When nobody has come for a
 * while V8 would forget what it has compiled, and the shapes that it has compiled it for: the next who come would wait until it has done so anew.
 */
export const proxyNodeArgs: readonly string[] = ['--max-semi-space-size=1', '--expose-gc', '--single-threaded-gc', '--no-flush-bytecode', '--retain-maps-for-n-gc=1000000'];

/** What threads that compile have done with is there for whoever asks next, and not for each by itself: 13 MB of the proxy's memory. */
export const proxyEnv: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1' };

export function childSpecs(record: ClusterRecord, paths: StatePaths, root: string, cgroupRoot: string, processors = availableParallelism()): ChildSpec[] {
  const source = (path: string) => join(root, 'src', path);
  return [
    { name: 'apiserver', main: source('apiserver/main.ts'), args: [] },
    ...(record.settings.hubble.enabled && record.settings.hubble.relay.enabled ? [{ name: 'relay', main: source('relay/main.ts'), args: [] }] : []),
    ...record.nodes.flatMap(node => {
      const place = { nodeArgs: smallHeap, netns: paths.node(node.name).netns, cgroup: systemCgroup(cgroupRoot, record.instance, node.name) };
      return [
        { name: `agent-${node.name}`, main: source('agent/main.ts'), args: ['--node', node.name], ...place },
        ...(record.settings.hubble.enabled && record.settings.hubble.history.enabled ? [{ name: `history-${node.name}`, main: source('history/main.ts'), args: ['--node', node.name], ...place }] : []),
        ...Array.from({ length: proxyWorkers(record.settings.l7.workers, processors) }, (_, worker) => (
          { name: proxyName(node.name, worker), main: source('proxy/main.ts'), args: ['--node', node.name, '--worker', String(worker)], takesOver: true, spare: record.settings.l7.spare, ...place, nodeArgs: proxyNodeArgs, env: proxyEnv }
        )),
        { name: `kubelet-${node.name}`, main: source('kubelet/main.ts'), args: ['--node', node.name], ...place },
      ];
    }),
  ];
}

/** A worker of a node's proxy, as a process: `proxy-node1`, `proxy-node1.1`. */
export function proxyName(node: string, worker: number): string {
  return worker === 0 ? `proxy-${node}` : `proxy-${node}.${worker}`;
}

export function systemCgroup(cgroupRoot: string, instance: string, node: string): string {
  return `${cgroupRoot}/${instance}/${node}/system`;
}

/**
 * The command line that ends as `node main.ts …` in its place, keeping its process number all the way: a shell that moves
 * itself into the group, nsenter that enters the namespace, then Node.
 */
export function commandOf(spec: ChildSpec, node: string, nodeArgs: readonly string[]): readonly [file: string, args: readonly string[]] {
  const target = [node, ...nodeArgs, ...(spec.nodeArgs ?? []), spec.main, ...spec.args];
  const entered = spec.netns === undefined ? target : ['nsenter', `--net=${spec.netns}`, '--', ...target];
  if (spec.cgroup === undefined) return [entered[0]!, entered.slice(1)];
  return ['/bin/sh', ['-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'cirri', spec.cgroup, ...entered]];
}
