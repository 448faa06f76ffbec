/** What was seen, for the commands that try policies on it: from the nodes' history, or from a file of flows. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { pairsOf } from '../../flows/pairs.ts';
import { parseTime } from '../../flows/query.ts';
import type { Flow } from '../../model/flow.ts';
import type { ObservedPair } from '../../model/observed.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { historyPairs } from '../histories.ts';
import { openContext } from '../context.ts';

export interface ObservedFlags {
  readonly since?: string;
  readonly until?: string;
  readonly flows?: string;
}

export interface Observed {
  readonly pairs: readonly ObservedPair[];
  /** RFC 3339; absent for a file. */
  readonly since?: string;
  readonly until?: string;
  /** What the record lacks of that time: said before anything is concluded from it. */
  readonly gaps: readonly string[];
}

export function addObservedOptions(command: Command, since: string): Command {
  return command
    .option('--since <time>', `how far back: 24h, 7d, or a time (default ${since})`)
    .option('--until <time>', 'likewise')
    .option('--flows <file>', "flows of a file of JSON lines (observe -o jsonpb, flows export) instead of the nodes' history; - is standard input");
}

/** Connections in which the namespace (or anybody) had an end. */
export async function observedPairs(flags: ObservedFlags, defaultSince: string, namespace?: string): Promise<Observed> {
  if (flags.flows !== undefined) {
    if (flags.since !== undefined || flags.until !== undefined) throw new CirriError('ERR_FLAG', '--flows and --since exclude each other', { mend: 'all of a file counts' });
    const pairs = pairsOf(flowsOfFile(flags.flows));
    return { pairs: namespace === undefined ? pairs : pairs.filter(({ source, destination }) => source.namespace === namespace || destination.namespace === namespace), gaps: [] };
  }
  const since = parseTime(flags.since ?? defaultSince);
  const until = parseTime(flags.until ?? '0s');
  if (since >= until) throw new CirriError('ERR_FLAG', 'that time ends before it begins', { mend: '--since must be before --until' });
  const context = openContext();
  context.client.close();
  return { ...await historyPairs(context, { since, until, ...(namespace !== undefined && { namespace }) }), since, until };
}

function* flowsOfFile(file: string): Generator<Flow> {
  const lines = readFileSync(file === '-' ? 0 : file, 'utf8').split('\n');
  for (const [i, text] of lines.entries()) {
    if (text.trim() === '') continue;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (cause) {
      throw new CirriError('ERR_FLOW_FILE', `is not JSON: ${errorText(cause)}`, { where: `${file}:${i + 1}`, mend: 'one flow a line, as observe -o jsonpb writes it', cause });
    }
    if (typeof json === 'object' && json !== null && ('lost_events' in json || 'node_status' in json)) continue;
    yield flowFromJson(json);
  }
}
