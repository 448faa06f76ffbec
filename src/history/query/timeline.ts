import type { TimelineBucket, TimelineQuery } from '../../model/history.ts';
import { CirriError } from '../../std/errors.ts';
import { timeNs, timeText } from '../time.ts';
import { scan } from './flows.ts';
import type { Reader } from './reader.ts';

const mostBuckets = 2000;

/** Flows by verdict in equal parts of the window; every part is there, with or without flows. */
export async function answerTimeline(reader: Reader, query: TimelineQuery): Promise<TimelineBucket[]> {
  const { buckets = 120 } = query;
  const [since, until] = [timeNs(query.since), timeNs(query.until)];
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > mostBuckets) throw new CirriError('ERR_TIMELINE', `buckets must be 1 to ${mostBuckets}, not ${buckets}`);
  if (until <= since) throw new CirriError('ERR_TIMELINE', 'until must lie after since');
  const width = (until - since + BigInt(buckets) - 1n) / BigInt(buckets);
  const counts = Array.from({ length: buckets }, (): Record<string, number> => ({}));
  const add = (index: number, verdict: string, count: number) => {
    const bucket = counts[Math.max(0, Math.min(buckets - 1, index))]!;
    bucket[verdict] = (bucket[verdict] ?? 0) + count;
  };
  if (reader.slices.some(({ filter }) => filter.residual !== undefined)) {
    for await (const flow of scan(reader, false)) add(Number((timeNs(flow.time) - since) / width), flow.verdict, 1);
  } else {
    for (const { alias, facts, where } of reader.slices) {
      const result = await reader.connection.runAndReadAll(`SELECT bucket, k.verdict, sum(count)::BIGINT FROM (SELECT (time - ${since}) // ${width} AS bucket, kind, count(*) AS count FROM ${facts} WHERE ${where} GROUP BY ALL) f JOIN ${alias}.kinds k ON k.id = f.kind GROUP BY ALL`);
      for (const [bucket, verdict, count] of result.getRows()) add(Number(bucket), String(verdict), Number(count));
    }
  }
  return counts.map((verdicts, i) => ({ since: timeText(since + BigInt(i) * width), verdicts }));
}
