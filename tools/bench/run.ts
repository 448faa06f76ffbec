/**
 * Beside the peers, in one run: `cirri bench`. Traffic by default, pod set-up with --cni, policy with --policy, from the API
 * to the kernel with --programming, what it costs to see with --observability, look-ups under policy with --dns, the layer 7 proxy with --l7. Ends with 1 when a target is missed or no
 * run was good.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureCni } from './cni.ts';
import { measureDns } from './dns.ts';
import { measureL7 } from './l7.ts';
import { measureL7Kernel } from './l7-kernel.ts';
import { measureObservability } from './observability.ts';
import { measurePolicy } from './policy/run.ts';
import { measureProgramming } from './programming.ts';
import { build, folder, prepareTraffic, run } from './prepare.ts';
import { isGoodPair, ratio, verdicts, type HarnessResult, type Verdict } from './ratios.ts';
import { chart, tableText, verdictText } from './report.ts';

const attempts = 3;
/** Of layer 7, seconds a burst: in a second, how it begins and one thing that the machine does beside it are all of its slowest hundredth. */
const l7Secs = 3;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '11' }, secs: { type: 'string' }, services: { type: 'string', default: '10000' },
    modes: { type: 'string', default: 'crr,rr' }, output: { type: 'string', short: 'o' }, cni: { type: 'boolean', default: false }, policy: { type: 'boolean', default: false }, iptables: { type: 'boolean', default: false }, programming: { type: 'boolean', default: false }, observability: { type: 'boolean', default: false }, dns: { type: 'boolean', default: false }, l7: { type: 'boolean', default: false }, 'l7-kernel': { type: 'boolean', default: false },
  },
});
if (process.getuid?.() !== 0) throw new Error('network namespaces and kernel programs take root: run with sudo');
const secs = values.secs ?? '0.25';
const asJson = values.output === 'json';
mkdirSync(folder, { recursive: true });
// Ctrl-C ends what is measured with, and this process takes down what it has set up; a second one ends it at once.
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void (interrupted = true));
try {
  process.exitCode = (values.l7 ? [await l7(), await l7Kernel()].every(Boolean) : values['l7-kernel'] ? await l7Kernel() : values.dns ? await dns() : values.observability ? observability() : values.programming ? programming() : values.policy ? policy() : values.cni ? await cni() : traffic()) ? 0 : 1;
} catch (error) {
  if (!interrupted) throw error;
  process.exitCode = 130;
}

function traffic(): boolean {
  const services = Number(values.services);
  const modes = values.modes.split(',');
  say(`preparing ${folder}`);
  prepareTraffic([...new Set([10, services])]);
  const cells = ['floor:0', 'floor:1', `ipt-legacy:${services}`, `nft:${services}`, 'cirri:10', `cirri:${services}`, 'cirri-sockmap:10'];
  /** The run that counts for each mode: the first whose pair is good, or else the last. */
  const results = new Map<string, { readonly result: HarnessResult; readonly isGood: boolean }>();
  for (let attempt = 1; attempt <= attempts; attempt++) {
    const open = modes.filter(mode => !results.get(mode)?.isGood);
    if (open.length === 0) break;
    say(`run ${attempt} of at most ${attempts}: ${cells.join(' ')} (${open.join(', ')}; loading ${services} services into nftables takes most of a minute)`);
    const result = runHarness(cells, open, join(folder, `run-${attempt}.json`));
    for (const mode of open) {
      const pair = ratio(result, mode, 'floor:1', 'floor:0');
      const isGood = isGoodPair(pair);
      results.set(mode, { result, isGood });
      say(`${mode}: the A/A pair is ${isGood ? 'good' : 'bad, the machine was busy with something else'} (${pair ? `quarter points ${pair.low.toFixed(3)}–${pair.high.toFixed(3)}` : 'no data'})`);
    }
  }
  const judged: Verdict[] = [];
  for (const [mode, { result, isGood }] of results) {
    print(`\n## ${mode}${isGood ? '' : '   (A/A pair bad: these figures do not count)'}\n\n${tableText(result, mode)}\n`);
    const own = verdicts(result, mode, services);
    judged.push(...own);
    for (const verdict of own) print(verdictText(verdict));
  }
  const prog = [...results.values()][0]?.result.prog ?? {};
  print(`\nprogramming all services (ms wall, ms processor): ${Object.entries(prog).filter(([cell]) => !cell.startsWith('floor')).map(([cell, ms]) => `${cell} ${ms}`).join('; ')}`);
  const isMet = [...results.values()].every(one => one.isGood) && judged.every(verdict => verdict.isMet);
  save('traffic', { machine: machine(), isMet, verdicts: judged, modes: Object.fromEntries([...results].map(([mode, one]) => [mode, { isGood: one.isGood, ...one.result }])) });
  for (const [mode, one] of results) writeFileSync(join(folder, `traffic-${mode}.svg`), chart(one.result, [mode]));
  say(`saved: ${folder}/traffic.json, traffic-*.svg`);
  return isMet;
}

function l7(): Promise<boolean> {
  return untilGood('l7', measureL7);
}

/** The same rules in a cluster's datapath, the kernel among those who carry them out. */
function l7Kernel(): Promise<boolean> {
  return untilGood('l7-kernel', measureL7Kernel);
}

interface L7Run {
  readonly text: string;
  readonly isGood: boolean;
  readonly isMet: boolean;
}

async function untilGood(name: string, measure: (options: { readonly rounds: number; readonly secs: number; readonly say: typeof say }) => Promise<L7Run>): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    const measured = await measure({ rounds: Number(values.rounds), secs: Number(values.secs ?? l7Secs), say });
    if (!measured.isGood && attempt < attempts) {
      say('the same thing twice differed too much: all of it once more');
      continue;
    }
    print(measured.text);
    save(name, { machine: machine(), ...measured });
    return measured.isMet;
  }
}

async function dns(): Promise<boolean> {
  const measured = await measureDns({ rounds: Number(values.rounds), say });
  print(measured.text);
  save('dns', { machine: machine(), ...measured });
  return measured.isMet;
}

async function cni(): Promise<boolean> {
  const measured = await measureCni({ say });
  print(measured.text);
  save('cni', { machine: machine(), ...measured });
  return measured.isMet;
}

function programming(): boolean {
  const measured = measureProgramming({ services: Number(values.services), most: 100_000, turns: Math.min(5, Number(values.rounds)), say });
  print(measured.text);
  save('programming', { machine: machine(), ...measured });
  return measured.isMet;
}

function observability(): boolean {
  const measured = measureObservability({ rounds: values.rounds, secs, modes: values.modes.split(','), say });
  print(measured.text);
  save('observability', { machine: machine(), ...measured });
  return measured.isMet;
}

function policy(): boolean {
  const measured = measurePolicy({ say, rounds: Number(values.rounds), iptables: values.iptables });
  print(measured.text);
  save('policy', { machine: machine(), ...measured });
  return measured.isMet;
}

function runHarness(cells: readonly string[], modes: readonly string[], out: string): HarnessResult {
  const said = run('python3', [join(folder, 'run.py'), ...cells, '--rounds', values.rounds, '--secs', secs, '--modes', modes.join(','), '--out', out], { BENCH_BUILD: build });
  const result = JSON.parse(readFileSync(out, 'utf8')) as HarnessResult;
  // The harness goes on after a backend that failed; what it measured then is a refusal.
  for (const cell of cells) {
    const bursts = modes.flatMap(mode => result.res[cell]?.[mode] ?? []);
    if (!result.prog[cell] || bursts.length === 0 || bursts.some(burst => (burst.err ?? 0) > 0)) throw new Error(`${cell} did not work:\n${said.stderr}`);
  }
  return result;
}

function save(name: string, value: object): void {
  writeFileSync(join(folder, `${name}.json`), JSON.stringify(value, null, 1));
  if (asJson) process.stdout.write(`${JSON.stringify(value)}\n`);
}

function machine(): object {
  return { time: new Date().toISOString(), processors: cpus().length, model: cpus()[0]?.model ?? '', kernel: release(), load: loadavg() };
}

/** Between two steps: where an interrupted run ends, if nothing failed before. */
function say(text: string): void {
  if (interrupted) throw new Error('interrupted');
  process.stderr.write(`${text}\n`);
}

function print(text: string): void {
  if (!asJson) process.stdout.write(`${text}\n`);
}
