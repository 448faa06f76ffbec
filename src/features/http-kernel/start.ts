import type { NodeMaps } from '../../datapath/maps.ts';
import { httpPrograms, type Programs } from '../../datapath/programs.ts';
import { missingFor, probeFeatures, type FeatureName } from '../../ebpf/features.ts';
import type { L7KernelCounts, L7KernelStatus } from '../../model/l7-kernel.ts';
import type { L7Set } from '../../model/l7.ts';
import { settingsAgainstKernel } from '../../model/settings.ts';
import type { FeatureStatus } from '../../model/status.ts';
import { counted } from '../../std/counted.ts';
import type { Logger } from '../../std/log.ts';
import type { Endpoint } from '../endpoints/endpoint.ts';
import { HttpPods } from './pods.ts';
import { ReaderJump } from './reader-jump.ts';
import { KernelHttpSets, type CompileTables } from './sets.ts';
import { HttpSweep } from './sweep.ts';

export interface HttpKernelDependencies {
  readonly programs: Programs;
  readonly maps: Pick<NodeMaps, 'httpSets' | 'httpReaders' | 'httpCounts' | 'httpConnections' | 'sweepRequests'>;
  readonly compile: CompileTables;
  /** Told of each set before a row names it, and of those in use after a pass. */
  readonly files: {
    readonly onNumber: ((number: number, set: L7Set) => void)[];
    readonly onRetire: ((inUse: ReadonlyMap<number, L7Set>) => void)[];
  };
  readonly endpoints: { rows(): Iterable<Endpoint> };
  /** Asks for a pass. */
  readonly onWork: () => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

export interface HttpKernel {
  readonly sets: KernelHttpSets;
  readonly pods: HttpPods;
  /** Looks through the connections from now on. Not before the endpoints have been taken over. */
  start(): void;
  counts(): L7KernelCounts;
  report(inUse: ReadonlyMap<number, L7Set>): L7KernelStatus;
  status(inUse: ReadonlyMap<number, L7Set>): FeatureStatus;
}

const needed: readonly FeatureName[] = ['hashOfMaps', 'tcx', 'redirect'];

/**
 * The agent's side of HTTP/1.1 that the kernel carries out:
 *
 *     engine ─► sets ─► http_sets          a set is there before a verdict names it
 *           jump ─► └─► pods ─► programs ─► ENDPOINT_HTTP in the pod's rows
 *
 * What is not there is the proxy's, and `report` says why.
 */
export function startHttpKernel(options: { /** Request headers that flows are to bear. */ readonly headers: readonly string[] }, dependencies: HttpKernelDependencies): HttpKernel {
  const { programs, maps, compile, files, endpoints, onWork, log, signal } = dependencies;
  const unable = unableFor(options.headers, programs);
  const sets = new KernelHttpSets({ map: maps.httpSets, compile, room: maps.httpSets.spec.maxEntries, unable, log });
  const jump = new ReaderJump({ programs, map: maps.httpReaders, log });
  jump.ensure();
  const pods = new HttpPods({ programs, sets, log });
  files.onNumber.push((number, set) => sets.numbered(number, set));
  files.onRetire.push(inUse => { if (sets.retire(inUse)) onWork(); });
  const sweep = new HttpSweep({
    maps, log, program: () => programs.program('sweep_http'),
    onRound: withConnections => {
      pods.release(endpoints.rows(), withConnections);
      // What did not go in is tried again.
      if (pods.failures.length > 0) onWork();
    },
  });
  const counts = () => sumCounts(maps);
  const report = (inUse: ReadonlyMap<number, L7Set>): L7KernelStatus => {
    const detour = jump.ensure();
    return {
      ...(unable !== undefined && { unable }),
      sets: sets.places(inUse),
      pods: [...endpoints.rows()].filter(endpoint => pods.has(endpoint)).map(podName),
      failedPods: pods.failures.map(({ endpoint, reason }) => ({ pod: podName(endpoint), reason })),
      ...(detour !== undefined && { detour }),
      connections: sweep.last.connections,
      room: maps.httpConnections.spec.maxEntries,
      counts: counts(),
    };
  };
  return { sets, pods, start: () => sweep.start(signal), counts, report, status: inUse => httpKernelFeature(report(inUse)) };
}

/** Why the kernel carries out no HTTP here, in a sentence; undefined: it can. */
function unableFor(headers: readonly string[], programs: Pick<Programs, 'refusalOf'>): string | undefined {
  const chosen = settingsAgainstKernel({ headers });
  if (chosen !== undefined) return chosen;
  const missing = missingFor(needed, probeFeatures());
  if (missing.length > 0) return `this kernel lacks ${missing.join('; ')}`;
  for (const program of httpPrograms) {
    const refusal = programs.refusalOf(program)?.split('\n')[0];
    if (refusal !== undefined) return `this kernel refuses ${program}: ${refusal}`;
  }
  return undefined;
}

/** Of its connections: then the status says so. */
const nearlyFull = 0.9;

/** Its line of the status. */
export function httpKernelFeature({ unable, sets, pods, failedPods, detour, connections, room, counts }: L7KernelStatus): FeatureStatus {
  const name = 'L7Kernel';
  const wanted = sets.filter(set => set.wanted === 'kernel');
  if (wanted.length === 0) return { name, state: 'off', detail: `no policy asks for it (l7.http, policy.cirri.io/l7-http)${unable === undefined ? '' : `; it could not be: ${unable}`}` };
  const refused = wanted.filter(set => set.place !== 'kernel');
  const reasons = [...new Set(refused.map(set => set.reason))];
  const troubles = [
    ...(refused.length > 0 ? [`the proxy carries ${refused.length} more: ${reasons.slice(0, 3).join('; ')}${reasons.length > 3 ? '; …' : ''}`] : []),
    ...(connections > nearlyFull * room ? [`there is room for ${room.toLocaleString('en')} connections, the proxy takes the others`] : []),
    ...failedPods.slice(0, 3).map(({ pod, reason }) => `${pod}: ${reason}`),
    ...(detour === undefined ? [] : [`segments take the queues of the pods' devices: ${detour}`]),
  ];
  const detail = [
    `${counted(wanted.length - refused.length, 'set')} for ${counted(pods.length, 'pod')}`,
    `${counted(connections, 'connection')}, ${counted(counts.requests, 'request')}, ${counts.denied} denied`,
    ...(counts.faults > 0 ? [`${counts.faults} not understood`] : []),
    ...troubles,
  ].join('; ');
  return { name, state: troubles.length > 0 ? 'degraded' : 'on', detail };
}

function sumCounts({ httpCounts }: Pick<NodeMaps, 'httpCounts'>): L7KernelCounts {
  const rows = httpCounts.lookupPerCpu(0) ?? [];
  const sum = (of: (row: (typeof rows)[number]) => bigint) => Number(rows.reduce((total, row) => total + of(row), 0n));
  return {
    taken: sum(row => row.connections), requests: sum(row => row.requests), denied: sum(row => row.denied), faults: sum(row => row.faults),
    answers: sum(row => row.answers), unknownAnswers: sum(row => row.unknownAnswers), held: sum(row => row.held), resets: sum(row => row.resets),
  };
}

function podName({ namespace, podName: name }: Endpoint): string {
  return `${namespace}/${name}`;
}
