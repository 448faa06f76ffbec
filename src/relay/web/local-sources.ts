import { queryToParams, type FlowQuery } from '../../flows/query.ts';
import type { SampleLine } from '../../flows/sample.ts';
import { questionForFlow } from '../../history/client.ts';
import type { KubeClient } from '../../kube/client.ts';
import { policyObjects } from '../../kube/policy-objects.ts';
import type { ClusterRecord, StatePaths } from '../../model/cluster.ts';
import type { Flow } from '../../model/flow.ts';
import type { MapInterval } from '../../model/service-map.ts';
import type { WebNodeState } from '../../model/web.ts';
import { readScenario } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { errorText } from '../../std/errors.ts';
import { askAgent, followAgent } from './agents.ts';
import { gather, together } from './collect.ts';
import { explainFlow, matrixView, policiesView, whyView, type AgentReports } from './policy-view.ts';
import type { FlowBatch, WebHistory, WebSources } from './sources.ts';

const flowsEveryMs = 200;
const mapEveryMs = 300;
const retryMs = 1000;
/** The objects of a cluster are read again for a question after this. */
const worldMs = 3000;
const policiesMs = 4000;
const makingShare = 20;

/** The nodes of a cluster on this machine, by their agents' sockets; policies from the Kubernetes API. */
export function localSources(options: { readonly record: ClusterRecord; readonly paths: StatePaths; readonly client: KubeClient; readonly history?: WebHistory }): WebSources {
  const { record, paths, client } = options;
  const names = record.nodes.map(node => node.name);
  const socketOf = (name: string) => paths.node(name).agentSocket;
  const states = new Map<string, WebNodeState>(names.map(name => [name, { name, state: 'unavailable', message: 'not asked yet' }] as const));
  const tell = (index: number, error: unknown) => {
    const name = names[index]!;
    states.set(name, error === undefined ? { name, state: 'connected' } : { name, state: 'unavailable', message: reasonOf(error) });
  };
  const world = remembered(worldMs, async () => {
    const objects = await policyObjects(client);
    return new World(readScenario(objects.map(object => ({ object, place: () => '' })), { clusterName: record.clusterName, policyMode: record.policyMode, audit: record.audit, httpReader: record.settings.l7.http }));
  });
  const policies = remembered(policiesMs, async () => policiesView(await world(), await agentReports(names, socketOf)));
  return {
    cluster: { name: record.clusterName, version: record.version },
    async* watchMap(signal): AsyncGenerator<MapInterval, void, undefined> {
      const sources = names.map(name => (stop: AbortSignal) => followAgent<MapInterval>(socketOf(name), '/v1/map', stop));
      for await (const intervals of gather({ sources, everyMs: mapEveryMs, retryMs, onState: tell }, signal)) yield together(intervals);
    },
    async* followFlows({ perSecond, ...query }, signal): AsyncGenerator<FlowBatch, void, undefined> {
      const params = queryToParams(query);
      params.set('perSecond', String(Math.ceil(perSecond / names.length)));
      const sources = names.map(name => (stop: AbortSignal) => followAgent<SampleLine>(socketOf(name), `/v1/flows/sample?${params}`, stop));
      for await (const lines of gather({ sources, everyMs: flowsEveryMs, retryMs, onState: () => {} }, signal)) yield batchOf(lines);
    },
    recentFlows: query => recentFlows(names.map(socketOf), query),
    findFlow: async id => (await recentFlows(names.map(socketOf), { whitelist: [{ uuid: [id] }], last: 1 })).at(-1) ?? await pastFlow(options.history, id),
    nodes: () => [...states.values()],
    explain: async flow => explainFlow(await world(), flow),
    policies,
    matrix: async namespace => matrixView(await world(), namespace),
    why: async (namespace, from, to) => whyView(await world(), namespace, from, to),
    ...(options.history && { history: options.history }),
  };
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ECONNREFUSED' ? 'its agent does not answer' : errorText(error);
}

function batchOf(lines: readonly SampleLine[]): FlowBatch {
  const sum = (field: 'left' | 'lost') => lines.reduce((total, line) => total + line[field], 0);
  return { flows: inTime(lines.flatMap(line => line.flows)), left: sum('left'), lost: sum('lost') };
}

function inTime(flows: Flow[]): Flow[] {
  return flows.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

/** Of nodes that answer. */
async function recentFlows(sockets: readonly string[], query: FlowQuery): Promise<readonly Flow[]> {
  const found = await Promise.all(sockets.map(async socket => {
    const flows: Flow[] = [];
    try {
      for await (const flow of followAgent<Flow>(socket, `/v1/flows?${queryToParams(query)}`, AbortSignal.timeout(10_000))) flows.push(flow);
    } catch {
      // An agent that is away remembers nothing; its state says so.
    }
    return flows;
  }));
  return inTime(found.flat()).slice(-(query.last ?? Infinity));
}

async function agentReports(names: readonly string[], socketOf: (name: string) => string): Promise<AgentReports> {
  const answers = await Promise.all(names.map(async node => {
    const [stats, shadow, policies] = await Promise.all([
      askAgent<AgentReports['stats']>(socketOf(node), '/v1/policy/stats'), askAgent<AgentReports['shadow']>(socketOf(node), '/v1/policy/shadow'), askAgent<AgentReports['policies'][number]['reports']>(socketOf(node), '/v1/policies'),
    ]);
    return { node, stats, shadow, policies };
  }));
  return {
    stats: answers.flatMap(({ stats }) => stats ?? []), shadow: answers.flatMap(({ shadow }) => shadow ?? []),
    policies: answers.flatMap(({ node, policies }) => (policies ? [{ node, reports: policies }] : [])),
    silent: answers.filter(({ stats }) => stats === undefined).map(({ node }) => node),
  };
}

/** A flow that no agent remembers any more, of the history: its id holds its time . */
async function pastFlow(history: WebHistory | undefined, id: string): Promise<Flow | undefined> {
  const question = questionForFlow(id);
  return question && (await history?.flows(question))?.find(flow => flow.id === id);
}

/**
 * The value, made again when it is older than `ms`, or than twenty times what the making took: a large cluster's policies are
 * computed less often, so that this process has its time for flows. Callers at once share one making.
 */
function remembered<T>(ms: number, make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  let until = -Infinity;
  return () => {
    if (made !== undefined && performance.now() < until) return made;
    const started = performance.now();
    until = Infinity;
    const next = made = make();
    next.then(() => {
      until = performance.now() + Math.max(ms, makingShare * (performance.now() - started));
    }, () => {
      until = -Infinity;
    });
    return next;
  };
}
