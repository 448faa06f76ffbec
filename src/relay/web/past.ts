import { queryHistory } from '../../history/client.ts';
import { mergeIntervals } from '../../model/map-merge.ts';
import type { Flow } from '../../model/flow.ts';
import type { HistoryAnswer, HistoryFilter, HistoryQuery, HistoryWindow } from '../../model/history.ts';
import type { MapInterval } from '../../model/service-map.ts';
import type { WebTimeline } from '../../model/web.ts';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import type { PastQuery, WebHistory } from './sources.ts';

const timeoutMs = 30_000;

/** The histories of all nodes as one. A node whose history does not answer is left out, and the log says so; when none does, it is an error. */
export function pastOf(sockets: readonly string[], dependencies: { readonly log: Logger }): WebHistory {
  const ask = async (query: HistoryQuery): Promise<readonly (readonly HistoryAnswer[])[]> => {
    const answers = await Promise.allSettled(sockets.map(async socket => Array.fromAsync(queryHistory(socket, query, AbortSignal.timeout(timeoutMs)))));
    const there = answers.flatMap(answer => (answer.status === 'fulfilled' ? [answer.value] : []));
    for (const answer of answers) if (answer.status === 'rejected') dependencies.log.warn('a history does not answer', { error: errorText(answer.reason) });
    const [failed] = answers;
    if (there.length === 0 && failed?.status === 'rejected') throw failed.reason;
    return there;
  };
  return {
    async timeline({ buckets, ...query }): Promise<WebTimeline> {
      const nodes = await ask({ kind: 'timeline', ...windowOf(query), buckets });
      const sums = Array.from({ length: buckets }, () => ({ forwarded: 0, dropped: 0, audited: 0, other: 0 }));
      for (const answer of nodes.flat()) {
        if (answer.kind !== 'timeline') continue;
        answer.buckets.slice(0, buckets).forEach(({ verdicts }, i) => {
          for (const [verdict, flows] of Object.entries(verdicts)) sums[i]![verdict === 'FORWARDED' ? 'forwarded' : verdict === 'DROPPED' ? 'dropped' : verdict === 'AUDIT' ? 'audited' : 'other'] += flows;
        });
      }
      return { since: query.since, until: query.until, bucketMs: (Date.parse(query.until) - Date.parse(query.since)) / buckets, buckets: sums };
    },
    async map(query): Promise<MapInterval> {
      const intervals = (await ask({ kind: 'map', ...windowOf(query) })).flat().flatMap(answer => (answer.kind === 'map' ? [answer.interval] : []));
      return { ...(intervals.length === 0 ? { nodes: [], edges: [] } : mergeIntervals(intervals)), since: query.since, until: query.until };
    },
    async flows({ last, ...query }): Promise<readonly Flow[]> {
      const flows = (await ask({ kind: 'flows', ...windowOf(query), last })).flat().flatMap(answer => (answer.kind === 'flows' ? answer.flows : []));
      return flows.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0)).slice(-last);
    },
  };
}

function windowOf({ since, until, whitelist, blacklist = [] }: PastQuery): HistoryWindow & { readonly since: string; readonly until: string } {
  return { since, until, ...(whitelist.length > 0 && { whitelist: whitelist as readonly HistoryFilter[] }), ...(blacklist.length > 0 && { blacklist: blacklist as readonly HistoryFilter[] }) };
}
