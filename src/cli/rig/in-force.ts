import { callLocal } from '../../cluster/local-api.ts';
import type { PolicyReport } from '../../agent/policy-inputs.ts';
import type { AddressRow } from '../../features/addresses/book.ts';
import type { Endpoint } from '../../features/endpoints/endpoint.ts';
import type { AgentStatus } from '../../model/status.ts';
import { policyAddress } from '../../policy/policy.ts';
import { delay } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import type { Context } from '../context.ts';

/** What every agent must have in its kernel before a case is tried. */
export interface Wanted {
  readonly policies: readonly WantedPolicy[];
  readonly pods: readonly WantedPod[];
}

export interface WantedPolicy {
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
}

export interface WantedPod {
  readonly key: string;
  readonly node: string;
  /** Of its identity, canonical and sorted. */
  readonly labels: readonly string[];
}

const patienceMs = 30_000;
const lookEveryMs = 5;

/**
 * Waits until every agent enforces exactly these policies for exactly these pods. An agent that cannot is an error at once.
 * What is true of an agent stays true while the case is tried, so its answers need not be of one moment.
 */
export async function waitUntilInForce(context: Context, wanted: Wanted, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const trouble = await troubleOf(context, wanted);
    if (trouble === undefined) return;
    if (performance.now() > deadline) throw new CirriError('ERR_RIG', `the policies of the case are not in force after ${patienceMs / 1000} s: ${trouble}`, { mend: `see the agents' logs in ${context.paths.logs} (--keep leaves them)` });
    await delay(lookEveryMs, signal);
  }
}

async function troubleOf(context: Context, wanted: Wanted): Promise<string | undefined> {
  const agents = await Promise.all(context.record.nodes.map(node => stateOf(context, node.name)));
  const missing = agents.find(agent => typeof agent === 'string');
  if (missing !== undefined) return missing;
  const states = agents as readonly AgentState[];
  const identities = new Map<string, number>();
  for (const state of states) for (const endpoint of state.endpoints) for (const address of [endpoint.ipv4, endpoint.ipv6]) if (address !== undefined) identities.set(address, endpoint.identity);
  const trouble = states.map(state => policyTrouble(state, wanted) ?? podTrouble(state, wanted) ?? addressTrouble(state, identities)).find(text => text !== undefined);
  return trouble ?? statusTrouble(context);
}

interface AgentState {
  readonly node: string;
  readonly policies: readonly PolicyReport[];
  readonly groups: readonly { readonly name: string; readonly uid?: string; readonly generation?: number }[];
  readonly endpoints: readonly Endpoint[];
  readonly addresses: ReadonlyMap<string, number>;
  /** Rows that the kernel does not hold yet. */
  readonly pending: number;
}

interface TableAnswer<T> {
  readonly rows: readonly T[];
  readonly notDone: readonly unknown[];
}

async function stateOf(context: Context, node: string): Promise<AgentState | string> {
  const socket = context.paths.node(node).agentSocket;
  const [policies, groups] = await Promise.all([callLocal<AgentState['policies']>(socket, '/v1/policies'), callLocal<AgentState['groups']>(socket, '/v1/cidr-groups')]);
  const [endpoints, addresses, rows] = await Promise.all([
    callLocal<readonly Endpoint[]>(socket, '/v1/endpoints'), callLocal<TableAnswer<AddressRow>>(socket, '/v1/tables/addresses'), callLocal<TableAnswer<unknown>>(socket, '/v1/tables/endpoint-rows'),
  ]);
  if (!policies || !groups || !endpoints || !addresses || !rows) return `the agent of ${node} does not answer`;
  return { node, policies, groups, endpoints, pending: addresses.notDone.length + rows.notDone.length, addresses: new Map(addresses.rows.map(row => [row.prefix, row.identity])) };
}

function policyTrouble({ node, policies, groups }: AgentState, wanted: Wanted): string | undefined {
  const taken = (group: AgentState['groups'][number]): PolicyReport => ({ ...group, address: policyAddress({ kind: 'CiliumCIDRGroup', name: group.name }), enforced: true, errors: [], conditions: [] });
  const have = new Map([...policies, ...groups.map(taken)].map(report => [report.address, report]));
  for (const policy of wanted.policies) {
    const address = policyAddress(policy);
    const report = have.get(address);
    if (report?.uid !== policy.uid || (report.generation ?? 0) < policy.generation) return `${node} has not taken ${address}`;
    const [error] = report.errors;
    if (error) throw new CirriError('ERR_RIG', `the agent of ${node} refuses ${address}, which the API has taken: ${error.message}`);
    if (!report.enforced) return `${node} does not enforce ${address}: ${report.error ?? 'not yet'}`;
    have.delete(address);
  }
  const [stray] = have.keys();
  return stray === undefined ? undefined : `${node} still has ${stray}`;
}

function podTrouble({ node, endpoints }: AgentState, wanted: Wanted): string | undefined {
  for (const pod of wanted.pods.filter(p => p.node === node)) {
    const endpoint = endpoints.find(e => `${e.namespace}/${e.podName}` === pod.key);
    if (!endpoint) return `${node} has no endpoint for ${pod.key}`;
    if (endpoint.labels.join() !== pod.labels.join()) return `${node} has not seen the labels of ${pod.key}`;
  }
  return undefined;
}

/** Every agent must know every pod by its present identity, and none that is gone. */
function addressTrouble({ node, addresses, pending }: AgentState, identities: ReadonlyMap<string, number>): string | undefined {
  for (const [address, identity] of identities) {
    const prefix = `${address}/${address.includes(':') ? 128 : 32}`;
    if (addresses.get(prefix) !== identity) return `${node} does not know ${address} as identity ${identity}`;
  }
  return pending === 0 ? undefined : `${node} has ${pending} rows that the kernel does not hold yet`;
}

/** Asked when all else is well: it counts what the kernel's maps hold. */
async function statusTrouble(context: Context): Promise<string | undefined> {
  const statuses = await Promise.all(context.record.nodes.map(node => callLocal<AgentStatus>(context.paths.node(node.name).agentSocket, '/v1/status')));
  for (const status of statuses) {
    if (!status) return 'an agent does not answer';
    const [error] = status.errors;
    if (error) return `${status.node}: ${error.where}: ${error.message}`;
    if (!status.ready) return `${status.node}: ${status.notReady.join('; ')}`;
  }
  return undefined;
}
