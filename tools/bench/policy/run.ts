/** Policy: compilation, one change more, decisions, and what policies cost a new connection. `cirri bench --policy`. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, folder, prepareTraffic, root, run } from '../prepare.ts';
import { isGoodPair, ratio, type HarnessResult } from '../ratios.ts';

const size = { pods: 10_000, namespaces: 1_000, policies: 2_000, local: 110 } as const;
const sizeArgs = [size.pods, size.namespaces, size.policies];
const attempts = 3;

interface Compilation { readonly subjects: number; readonly sets: number; readonly classes: number; readonly rows: number; readonly ms: number; readonly cpuMs: number; readonly rssMiB: number }
interface Changes { readonly fromNothingMs: number; readonly rssMiB: number; readonly sets: number; readonly changes: Readonly<Record<string, { readonly count: number; readonly p50: number; readonly p99: number; readonly max: number; readonly processor: { readonly p50: number; readonly p99: number; readonly max: number } }>> }
interface Decisions { readonly decisions: number; readonly decidePerSecond: number; readonly connectionPerSecond: number; readonly compileAllMs: number }
interface Spread { readonly ratio: number; readonly low: number; readonly high: number }
interface Packets { readonly emptyNs: number; readonly cells: readonly { readonly name: string; readonly sets: number; readonly rows: number; readonly classes: number; readonly ns: number }[]; readonly ratios: Readonly<Record<string, Spread>> }

/** A figure and what it must keep to. */
interface Target { readonly what: string; readonly value: number; readonly unit: string; readonly limit: number; readonly isUpper: boolean; readonly isMet: boolean }

export interface PolicyFigures {
  readonly text: string;
  readonly isMet: boolean;
  readonly targets: readonly Target[];
  readonly compilations: readonly Compilation[];
  readonly changes: Changes;
  readonly decisions: Decisions;
  readonly packets: Packets & { readonly isGood: boolean };
  readonly iptables: Readonly<Record<string, Spread>> | undefined;
}

export function measurePolicy({ say, rounds, iptables }: { readonly say: (text: string) => void; readonly rounds: number; readonly iptables: boolean }): PolicyFigures {
  if (!existsSync(join(root, 'build', 'cirri.bpf.o'))) run('make', ['-s', '-C', join(root, 'bpf')]);
  // As the supervisor runs agents: a small young generation, which is what keeps them small.
  const compile = (subjects: number) => child<Compilation>('compile', [...sizeArgs, subjects], ['--max-semi-space-size=2']);
  say(`compiling ${size.policies} policies for ${size.pods} pods from nothing`);
  const compilations = [compile(size.local), compile(size.pods)];
  say('one pod or one policy more, on maps of a real agent');
  const changes = child<Changes>('changes', [...sizeArgs, size.local, 100]);
  say('decisions in process');
  const decisions = child<Decisions>('decisions', [...sizeArgs, 1_000_000]);
  const packets = measurePackets(say, rounds);
  const compared = iptables ? measureIptables(say, rounds) : undefined;
  const targets = judge(compilations, changes, decisions, packets);
  return {
    targets, compilations, changes, decisions, packets, iptables: compared,
    isMet: packets.isGood && targets.every(target => target.isMet), text: textOf(targets, changes, packets, compared),
  };
}

function child<T>(name: string, args: readonly (string | number)[], nodeArgs: readonly string[] = []): T {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', ...nodeArgs, join(root, 'tools', 'bench', 'policy', `${name}.ts`), ...args.map(String)], { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`the measurement of ${name} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout) as T;
}

/** Counts when both A/A pairs agree. */
function measurePackets(say: (text: string) => void, rounds: number): PolicyFigures['packets'] {
  for (let attempt = 1; ; attempt++) {
    say(`new connections through the kernel programs, run ${attempt} of at most ${attempts}`);
    const packets = child<Packets>('packets', [...sizeArgs, size.local, rounds]);
    const isGood = Object.entries(packets.ratios).filter(([name]) => name.startsWith('A/A')).every(([, pair]) => Math.abs(pair.ratio - 1) <= 0.03);
    if (isGood || attempt === attempts) return { ...packets, isGood };
  }
}

/** Whole connections by way of the harness: the chain of 1,000 rules beside none, and plain routing. */
function measureIptables(say: (text: string) => void, rounds: number): Readonly<Record<string, Spread>> {
  prepareTraffic([10]);
  const cells = ['floor:0', 'floor:1', 'ipt-policy:0', 'ipt-policy:1000'];
  const out = join(folder, 'policy-iptables.json');
  for (let attempt = 1; ; attempt++) {
    say(`iptables with 1,000 rules for one pod, run ${attempt} of at most ${attempts}`);
    run('python3', [join(folder, 'run.py'), ...cells, '--rounds', String(rounds), '--secs', '0.25', '--modes', 'crr', '--out', out], { BENCH_BUILD: build });
    const result = JSON.parse(readFileSync(out, 'utf8')) as HarnessResult;
    const of = (a: string, b: string): Spread => {
      const found = ratio(result, 'crr', a, b);
      if (!found) throw new Error(`the harness has not measured ${a} and ${b}`);
      return { ratio: found.median, low: found.low, high: found.high };
    };
    if (!isGoodPair(ratio(result, 'crr', 'floor:1', 'floor:0')) && attempt < attempts) continue;
    return { 'A/A': of('floor:1', 'floor:0'), 'no rules / routing': of('ipt-policy:0', 'floor:0'), '1000 rules / no rules': of('ipt-policy:1000', 'ipt-policy:0') };
  }
}

function judge(compilations: readonly Compilation[], { changes }: Changes, { decidePerSecond }: Decisions, { ratios }: Packets): Target[] {
  const upper = (what: string, value: number, unit: string, limit: number): Target => ({ what, value, unit, limit, isUpper: true, isMet: value <= limit });
  const lower = (what: string, value: number, unit: string, limit: number): Target => ({ what, value, unit, limit, isUpper: false, isMet: value >= limit });
  return [
    ...compilations.flatMap(one => [
      upper(`from nothing, sets of ${one.subjects} pods (${one.sets} sets, ${one.classes} class entries)`, one.ms, 'ms', 5_000),
      upper('  its processor time', one.cpuMs, 'ms', 5_000),
      upper('  its memory, the whole process at its highest', one.rssMiB, 'MiB', 300),
    ]),
    ...Object.entries(changes).flatMap(([name, { p99, processor }]) => [upper(`${name}, p99`, p99, 'ms', 50), upper('  its processor time', processor.p99, 'ms', 50)]),
    lower('decisions', decidePerSecond, 'a processor second', 1_000_000),
    upper(`a new connection, ${size.policies} policies in the cluster / 10`, ratios[`${size.policies} / 10 in the cluster`]!.ratio, '×', 1.05),
    upper('a new connection, 1000 policies on one pod / none', ratios['1000 on one pod / none']!.ratio, '×', 1.03),
  ];
}

function textOf(targets: readonly Target[], { changes }: Changes, packets: PolicyFigures['packets'], iptables: PolicyFigures['iptables']): string {
  const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(value < 10 ? 3 : 1));
  const spread = (name: string, { ratio: value, low, high }: Spread) => `${name}: ${value.toFixed(3)} (quarter points ${low.toFixed(3)}–${high.toFixed(3)})`;
  return [
    '## targets', '', ...targets.map(t => `${t.isMet ? '✓' : '✗'} ${t.what}: ${number(t.value)} ${t.unit} (${t.isUpper ? '≤' : '≥'} ${t.limit})`),
    '', '## one change more, ms', '', ...Object.entries(changes).map(([name, { count, p50, p99, max, processor: cpu }]) => `${name}: p50 ${p50.toFixed(2)}, p99 ${p99.toFixed(2)}, max ${max.toFixed(2)}; of the processor ${cpu.p50.toFixed(2)}, ${cpu.p99.toFixed(2)}, ${cpu.max.toFixed(2)} (${count} changes)`),
    '', `## a new connection in the programs, ns net of an empty program (${packets.emptyNs})${packets.isGood ? '' : '   (A/A pairs bad: these figures do not count)'}`, '',
    ...packets.cells.map(cell => `${cell.name}: ${cell.ns.toFixed(0)} (${cell.sets} sets, ${cell.rows} rows, ${cell.classes} class entries)`),
    ...Object.entries(packets.ratios).map(([name, one]) => spread(name, one)),
    ...(iptables ? ['', '## iptables, processor time of whole connections', '', ...Object.entries(iptables).map(([name, one]) => spread(name, one))] : []),
  ].join('\n');
}
