/**
 * What it costs to see: connections between two pods by way of a service, with nothing told, with what connections tell, and with a record
 * for every packet. Each cell has a pipeline as the agent's, whose processor time counts.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, folder, prepareTraffic, run } from './prepare.ts';
import { isGoodPair, ratio, type HarnessResult, type Verdict } from './ratios.ts';
import { tableText, verdictText } from './report.ts';

const off = 'cirri-ev-off:10';
const offAgain = 'cirri-ev-off-again:10';
const cells = ['floor:0', 'floor:1', off, offAgain, 'cirri-ev-max:10', 'cirri-ev-medium:10', 'cirri-ev-low:10', 'cirri-ev-none:10'] as const;
/** Of the time that the same takes when nothing is told. `none` writes two records a packet: shown, not judged. */
const limits: Readonly<Record<string, number>> = { 'cirri-ev-medium:10': 1.03, 'cirri-ev-low:10': 1.05 };
const attempts = 3;
/** Rounds before those that count: an agent runs for days, and its first thousand records are read by code that is not compiled yet. */
const warming = 3;

export interface ObservabilityFigures {
  readonly text: string;
  readonly isMet: boolean;
  readonly verdicts: readonly Verdict[];
  readonly result: HarnessResult;
}

export function measureObservability(options: { readonly rounds: string; readonly secs: string; readonly modes: readonly string[]; readonly say: (text: string) => void }): ObservabilityFigures {
  const { rounds, secs, modes, say } = options;
  say(`preparing ${folder}`);
  prepareTraffic([10]);
  for (let attempt = 1; ; attempt++) {
    say(`run ${attempt} of at most ${attempts}: ${cells.join(' ')} (${modes.join(', ')})`);
    const out = join(folder, `observability-${attempt}.json`);
    const said = run('python3', [join(folder, 'run.py'), ...cells, '--rounds', String(Number(rounds) + warming), '--secs', secs, '--modes', modes.join(','), '--base', off, '--out', out], { BENCH_BUILD: build });
    writeFileSync(join(folder, 'observability.txt'), said.stdout);
    const figures = judge(warmed(JSON.parse(readFileSync(out, 'utf8')) as HarnessResult), modes, lossText(said.stdout), said.stderr);
    if (figures.isGood || attempt === attempts) return figures;
    say('an A/A pair is bad, the machine was busy with something else');
  }
}

function warmed(result: HarnessResult): HarnessResult {
  const res = Object.fromEntries(Object.entries(result.res).map(([cell, modes]) => [cell, Object.fromEntries(Object.entries(modes).map(([mode, bursts]) => [mode, bursts.filter(burst => burst.round >= warming)]))]));
  return { ...result, res };
}

function judge(result: HarnessResult, modes: readonly string[], losses: readonly string[], stderr: string): ObservabilityFigures & { readonly isGood: boolean } {
  for (const cell of cells) if (modes.some(mode => (result.res[cell]?.[mode] ?? []).length === 0)) throw new Error(`${cell} did not work:\n${stderr}`);
  const pairs = modes.map(mode => ({ mode, floor: ratio(result, mode, 'floor:1', 'floor:0'), silent: ratio(result, mode, offAgain, off) }));
  const isGood = pairs.every(pair => isGoodPair(pair.floor));
  const verdicts: Verdict[] = modes.flatMap(mode => Object.entries(limits).flatMap(([cell, limit]) => {
    const found = ratio(result, mode, cell, off);
    return found ? [{ mode, what: `${cell} / ${off}`, ratio: found, limit, isUpper: true, isMet: found.median <= limit }] : [];
  }));
  const text = [
    ...pairs.flatMap(({ mode, floor, silent }) => [
      '', `## ${mode}${isGoodPair(floor) ? '' : '   (A/A pair bad: these figures do not count)'}`, '', tableText(result, mode, off), '',
      `A/A floor:1 / floor:0 = ${floor?.median.toFixed(3)} (${floor?.low.toFixed(3)}–${floor?.high.toFixed(3)}); ${offAgain} / ${off} = ${silent?.median.toFixed(3)} (${silent?.low.toFixed(3)}–${silent?.high.toFixed(3)})`,
      ...verdicts.filter(verdict => verdict.mode === mode).map(verdictText),
    ]), '', ...losses,
  ].join('\n');
  return { text, isGood, isMet: isGood && verdicts.every(verdict => verdict.isMet), verdicts, result };
}

/** What each pipeline has seen and what was lost, from its own word at the end. */
function lossText(stdout: string): string[] {
  return [...stdout.matchAll(/^# stat (\S+) (\{.*\})$/gm)].map(([, cell, json]) => {
    const { flows } = JSON.parse(json!) as { readonly flows: { readonly flows: number; readonly lostFlows: number; readonly lostDrops: number } };
    return `${cell}: ${flows.flows} records, ${flows.lostFlows + flows.lostDrops} lost`;
  });
}
