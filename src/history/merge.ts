import type { Flow } from '../model/flow.ts';
import type { GroupMeasure, HistoryGroup, TimelineBucket } from '../model/history.ts';
import { byMeasure } from './query/order.ts';

/**
 * Answers of several nodes as one. A connection between two nodes is in both records; each node counts only those that are its
 * own by the rule of model/service-map.ts, so that `connections` and `bytes` are added up. `flows` are records, of which there
 * are as many as were made.
 */
export function mergeGroups(answers: readonly (readonly HistoryGroup[])[], order: GroupMeasure = 'flows', top = Infinity): HistoryGroup[] {
  const groups = new Map<string, HistoryGroup>();
  for (const group of answers.flat()) {
    const key = JSON.stringify(group.key);
    const known = groups.get(key);
    groups.set(key, known === undefined ? group : {
      key: group.key, flows: known.flows + group.flows, connections: known.connections + group.connections, bytes: known.bytes + group.bytes,
      first: known.first < group.first ? known.first : group.first, last: known.last > group.last ? known.last : group.last,
    });
  }
  return [...groups.values()].sort(byMeasure(order)).slice(0, top);
}

/** Flows of all nodes in the order of time; the newest N, or the oldest. */
export function mergeFlows(answers: readonly (readonly Flow[])[], { last, first }: { readonly last?: number; readonly first?: number } = {}): Flow[] {
  const flows = answers.flat().sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  return last !== undefined ? flows.slice(-last) : flows.slice(0, first);
}

/** Timelines of the same window and number of parts. */
export function mergeTimelines(answers: readonly (readonly TimelineBucket[])[]): TimelineBucket[] {
  const [model = []] = answers;
  return model.map(({ since }, i) => {
    const verdicts: Record<string, number> = {};
    for (const buckets of answers) for (const [verdict, count] of Object.entries(buckets[i]?.verdicts ?? {})) verdicts[verdict] = (verdicts[verdict] ?? 0) + count;
    return { since, verdicts };
  });
}
