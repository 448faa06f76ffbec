import { queryHistory } from '../history/client.ts';
import type { HistoryAnswer, HistoryGap, HistoryQuery } from '../model/history.ts';
import type { ObservedPair } from '../model/observed.ts';
import { CirriError, errorText } from '../std/errors.ts';
import type { Context } from './context.ts';

export type NodeAnswer = { readonly node: string; readonly answer: Exclude<HistoryAnswer, { readonly kind: 'error' }> };

/**
 * The answers of all nodes' histories, node by node. One that does not answer is named on stderr, and the others go on; what is
 * wrong with the question itself is thrown. Throws when none answers.
 */
export async function* askHistories(context: Context, query: HistoryQuery, signal?: AbortSignal): AsyncGenerator<NodeAnswer> {
  if (!context.record.settings.hubble.history.enabled) throw new CirriError('ERR_NO_HISTORY', 'this cluster keeps no flow history', { mend: 'cirri config set hubble.history.enabled=true' });
  let answered = 0;
  for (const { name } of context.record.nodes) {
    try {
      for await (const answer of queryHistory(context.paths.node(name).historySocket, query, signal)) yield { node: name, answer };
      answered++;
    } catch (error) {
      if (error instanceof CirriError && error.code !== 'ERR_HISTORY_AWAY') throw error;
      process.stderr.write(`cirri: the history of ${name} does not answer: ${errorText(error)}\n`);
    }
  }
  if (answered === 0) throw new CirriError('ERR_NO_HISTORY', 'no flow history answers', { mend: 'cirri status, cirri logs history-NODE' });
}

/** Pairs of all nodes, equal ones in one row, and what the record lacks of that time. */
export async function historyPairs(context: Context, window: { readonly since: string; readonly until: string; readonly namespace?: string }): Promise<{ readonly pairs: readonly ObservedPair[]; readonly gaps: readonly string[] }> {
  const pairs = new Map<string, ObservedPair>();
  const gaps: HistoryGap[] = [];
  for await (const { answer } of askHistories(context, { kind: 'pairs', ...window })) {
    if (answer.kind === 'end') gaps.push(...answer.gaps);
    if (answer.kind !== 'pairs') continue;
    for (const pair of answer.pairs) {
      const { count, first, last, ...what } = pair;
      const key = JSON.stringify(what);
      const known = pairs.get(key);
      pairs.set(key, known === undefined ? pair : { ...what, count: known.count + count, first: known.first < first ? known.first : first, last: known.last > last ? known.last : last });
    }
  }
  return { pairs: [...pairs.values()], gaps: gaps.map(gapText) };
}

/** `node1, 2026-11-20T10:00:00Z to 10:00:05Z: 1,200 flows lost (the store was away)`. */
export function gapText({ node, since, until, count, reason, class: kind }: HistoryGap): string {
  return `${node}, ${since.slice(0, 19)}Z to ${until.slice(0, 19)}Z: ${count === undefined ? 'an unknown number of' : count.toLocaleString('en-US')} flows lost (${kind}: ${reason})`;
}
