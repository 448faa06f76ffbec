import { callLocal } from '../cluster/local-api.ts';
import { CirriError } from '../std/errors.ts';
import type { Context } from './context.ts';

/** The answer of one agent: of the node that is named, or of the first that answers. */
export async function askAgent<T>(context: Context, node: string | undefined, path: string): Promise<{ readonly node: string; readonly value: T }> {
  for (const name of nodesOf(context, node)) {
    const value = await callLocal<T>(context.paths.node(name).agentSocket, path, { timeoutMs: 60_000 });
    if (value !== undefined) return { node: name, value };
    process.stderr.write(`cirri: the agent of ${name} does not answer\n`);
  }
  throw new CirriError('ERR_NO_AGENT', 'no agent answers', { mend: 'cirri status' });
}

/** The node of that name, or all. Throws for one that the cluster does not have. */
export function nodesOf(context: Context, node: string | undefined): readonly string[] {
  return node === undefined ? context.record.nodes.map(each => each.name) : [knownNode(context, node)];
}

/** Throws for a node that the cluster does not have. */
export function knownNode({ record }: Context, name: string): string {
  if (!record.nodes.some(node => node.name === name)) throw new CirriError('ERR_NO_NODE', `there is no node ${name}`, { mend: `the nodes are ${record.nodes.map(node => node.name).join(', ')}` });
  return name;
}

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
