import type { StatePaths } from '../model/cluster.ts';
import type { AgentStatus } from '../model/status.ts';
import { callLocal } from './local-api.ts';
import type { ChildStatus } from './child.ts';

/** What the supervisor says of its processes; undefined when none answers. */
export async function supervisorStatus(paths: StatePaths): Promise<{ readonly pid: number; readonly children: readonly ChildStatus[] } | undefined> {
  try {
    return await callLocal(`${paths.run}/supervisor.sock`, '/v1/status');
  } catch {
    return undefined;
  }
}

/** Why a node's agent is not ready, in words; undefined when it is. */
export async function agentTrouble(paths: StatePaths, node: string): Promise<string | undefined> {
  const status = await callLocal<AgentStatus>(paths.node(node).agentSocket, '/v1/status');
  if (!status) return 'the agent does not answer';
  return status.ready ? undefined : status.notReady.join('; ') || 'not ready';
}
