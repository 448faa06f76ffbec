import type { Command } from 'commander';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import type { ObservedPair } from '../../model/observed.ts';
import { endText } from '../../policy/observed.ts';
import { replay, type Replay, type ReplayedPair } from '../../policy/replay.ts';
import { counted } from '../../std/counted.ts';
import { CirriError } from '../../std/errors.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { addObservedOptions, observedPairs, type Observed, type ObservedFlags } from './policy-observed.ts';
import { readable } from '../../model/readable.ts';
import { addSourceOptions, loadScenario, type SourceFlags } from './policy-world.ts';

interface Flags extends SourceFlags, ObservedFlags {
  readonly offline?: boolean;
  readonly exitCode?: boolean;
}

const shownRows = 30;

export function register(policy: Command): void {
  addObservedOptions(addSourceOptions(policy.command('replay')), '24h')
    .summary('what policies would have done to the connections that were recorded')
    .description("Every connection of the nodes' flow history is judged again, by the policies of the cluster with those of -f over them: which that passed would have been denied, and which that were denied would have passed. Nothing is applied.")
    .option('--offline', 'the policies of -f alone, without the cluster')
    .option('--exit-code', 'exit with 1 when something that passed would have been denied')
    .addHelpText('after', `
Examples:
  ./cirri policy replay -f new.yaml --since 24h              before anybody applies it
  ./cirri policy replay -f new.yaml --since 7d --exit-code   in a pipeline
  ./cirri policy replay --since 1h                           the policies as they are now
  ./cirri policy replay --offline -f policies/ --flows flows.json`)
    .action((flags: Flags) => run(flags));
}

async function run(flags: Flags): Promise<void> {
  if (flags.offline && !flags.filename?.length) throw new CirriError('ERR_FLAG', 'which policies?', { mend: '--offline -f FILE' });
  const scenario = await loadScenario({ ...flags, live: flags.offline !== true });
  const observed = await observedPairs(flags, '24h');
  const result = replay(scenario, observed.pairs);
  if (flags.exitCode && result.denied.length > 0) process.exitCode = 1;
  if (printStructured(flags.output, replayJson(result, observed))) return;
  printReplay(result, observed, stdoutPaint());
}

export function replayJson(result: Replay, { since, until, gaps }: Observed): object {
  const rows = (list: readonly ReplayedPair[]) => list.map(({ pair, verdict, rule, place }) => ({ ...pair, now: verdict, rule: { id: rule.id, kind: rule.kind, namespace: rule.namespace, name: rule.name, path: rule.path, because: rule.because }, ...(place !== undefined && { place }) }));
  return { since, until, gaps, connections: result.connections, unchanged: result.unchanged, notAsked: result.unasked, wouldDeny: rows(result.denied), wouldAllow: rows(result.allowed), wouldAudit: rows(result.audited) };
}

export function printReplay(result: Replay, observed: Observed, paint: Paint, write: (text: string) => void = line): void {
  const { connections, unchanged, unasked, denied, allowed, audited } = result;
  for (const gap of observed.gaps) write(paint.careful(`the record is not whole: ${safe(gap)}`));
  if (connections === 0) return write('nothing was recorded in that time: nothing can be said');
  const asked = unasked === 0 ? '' : `, ${unasked} between parties that no policies are for`;
  write(`${counted(connections, 'connection')} recorded${observed.since === undefined ? '' : ` since ${observed.since.slice(0, 19)}Z`}: ${unchanged} with the same verdict${asked}`);
  section(denied, 'that passed would be denied', paint.bad, paint, write);
  section(audited, 'that passed would be reported as denied', paint.careful, paint, write);
  section(allowed, 'that were denied would pass', paint.good, paint, write);
  if (denied.length + audited.length + allowed.length === 0) write(paint.good('nothing would have been different'));
}

function section(rows: readonly ReplayedPair[], title: string, colour: Paint['bad'], paint: Paint, write: (text: string) => void): void {
  if (rows.length === 0) return;
  write(colour(`${counted(rows.reduce((sum, { pair }) => sum + pair.count, 0), 'connection')} ${title}:`));
  for (const { pair, rule, place } of rows.slice(0, shownRows)) {
    write(`  ${safe(pairText(pair))}  ${paint.faint(`×${pair.count}, last ${pair.last.slice(0, 19)}Z`)}`);
    write(`      ${pair.direction.toLowerCase()}: ${safe(readable(rule.because))}${place === undefined || place === '' ? '' : ` ${paint.faint(`(${safe(place)})`)}`}`);
  }
  if (rows.length > shownRows) write(`  and ${rows.length - shownRows} more (-o json shows all)`);
}

/** `shop/web → data/db 5432/TCP`. */
export function pairText({ source, destination, port, protocol }: ObservedPair): string {
  return `${endText(source)} → ${endText(destination)} ${protocol.startsWith('ICMP') ? `${protocol} type ${port}` : `${port}/${protocol}`}`;
}
