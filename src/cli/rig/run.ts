import { duration } from '../../cluster/progress.ts';
import { caseResult, type CaseResult } from '../../policy/conformance/run.ts';
import { outcome } from '../../policy/conformance/case.ts';
import type { ConformanceCases } from './plan.ts';
import { inRigOrder, nodesNeeded } from './plan.ts';
import { removeDeadRigs, Rig, type RigOptions } from './rig.ts';

export interface RigFile {
  readonly file: string;
  readonly cases: ConformanceCases;
}

export interface RigRun {
  readonly files: readonly { readonly file: string; readonly results: readonly CaseResult[] }[];
  readonly notes: readonly string[];
}

export interface RigRunOptions extends RigOptions {
  /** Where engine and datapath differ, the case has failed. */
  readonly compare: boolean;
}

/**
 * All files through one rig, which is taken down however it ends: a signal ends the case that runs and then the rig, and only a second
 * one would leave something behind.
 */
export async function runThroughRig(files: readonly RigFile[], options: RigRunOptions): Promise<RigRun> {
  const asked = files.flatMap(f => f.cases).filter(isConnectivity);
  if (asked.length === 0) return { files: files.map(f => ({ file: f.file, results: f.cases.map(notForTheDatapath) })), notes: [] };
  const interrupt = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => interrupt.abort(new Error(`ended by ${signal}`));
  for (const signal of signals) process.on(signal, onSignal);
  const progress = createCaseProgress(asked.length, process.stderr);
  const rig = new Rig(options, interrupt.signal);
  try {
    for (const instance of await removeDeadRigs()) progress.say(`removed the cluster of a run that was killed (instance ${instance})`);
    progress.say(`a cluster of ${nodesNeeded(asked)} nodes for ${asked.length} ${asked.length === 1 ? 'case' : 'cases'} (instance ${rig.instance})`);
    await rig.up(nodesNeeded(asked));
    const done: { file: string; results: CaseResult[] }[] = [];
    for (const { file, cases } of files) done.push({ file, results: await runFile(rig, cases, progress, options.compare) });
    return { files: done, notes: rig.notes };
  } catch (error) {
    // A terminal's Ctrl-C ends the rig's processes too: what they say of it is not the reason.
    interrupt.signal.throwIfAborted();
    throw error;
  } finally {
    progress.end();
    await rig.down();
    if (options.keep) progress.say(rig.keptText);
    for (const signal of signals) process.off(signal, onSignal);
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

function isConnectivity(testCase: ConformanceCases[number]): boolean {
  return testCase.kind === 'connectivity';
}

function notForTheDatapath(testCase: ConformanceCases[number]): CaseResult {
  return { ...caseResult(testCase, outcome(0)), result: 'skip', failures: [], skipped: [`kind ${testCase.kind} is not about connections: the engine alone answers it`] };
}

/** Results in the order of the file, whatever the order in which the rig took them. */
async function runFile(rig: Rig, cases: ConformanceCases, progress: CaseProgress, compare: boolean): Promise<CaseResult[]> {
  const results = new Map<ConformanceCases[number], CaseResult>();
  for (const testCase of inRigOrder(cases.filter(isConnectivity))) {
    progress.next(testCase.id);
    const { disagreements, ...rest } = await rig.run(testCase, compare);
    const result = caseResult(testCase, rest);
    results.set(testCase, disagreements.length === 0 ? result : { ...result, result: 'fail', failures: [...result.failures, ...disagreements] });
  }
  return cases.map(testCase => results.get(testCase) ?? notForTheDatapath(testCase));
}

interface CaseProgress {
  say(text: string): void;
  next(id: string): void;
  end(): void;
}

const lineEveryMs = 5_000;

/** On a terminal one line that changes, elsewhere a line every few seconds. */
function createCaseProgress(total: number, stream: NodeJS.WriteStream): CaseProgress {
  const live = stream.isTTY === true && process.env['TERM'] !== 'dumb';
  let startedAt = 0;
  let done = 0;
  let saidAt = -Infinity;
  const clear = () => live && stream.write('\r\x1b[K');
  return {
    say: text => {
      clear();
      stream.write(`${text}\n`);
    },
    next: id => {
      startedAt ||= performance.now();
      const now = performance.now();
      const left = done > 0 ? `, about ${duration(((now - startedAt) / done) * (total - done))} left` : '';
      done++;
      if (!live && now - saidAt < lineEveryMs) return;
      saidAt = now;
      clear();
      stream.write(`case ${done} of ${total}${left}: ${id}${live ? '' : '\n'}`);
    },
    end: clear,
  };
}
