import { callLocal } from '../cluster/local-api.ts';
import { CirriError } from '../std/errors.ts';
import type { Context } from './context.ts';

/** One answer of every agent; a node that does not answer is named on stderr. Throws when none does. */
export async function askAgents<T>(context: Context, path: string): Promise<{ readonly node: string; readonly value: T }[]> {
  const answers = await Promise.all(context.record.nodes.map(async node => ({
    node: node.name,
    value: await callLocal<T>(context.paths.node(node.name).agentSocket, path),
  })));
  const heard = answers.filter(answer => answer.value !== undefined) as { node: string; value: T }[];
  for (const { node, value } of answers) if (value === undefined) process.stderr.write(`cirri: the agent of ${node} does not answer\n`);
  if (heard.length === 0) throw new CirriError('ERR_NO_AGENT', 'no agent answers', { mend: 'cirri status' });
  return heard;
}
