/**
 * Random clusters that change step by step; at each step random questions, asked of everyone who should know:
 *
 *     objects ─┬─► naive (reads them as written)
 *              ├─► engine: compiled tables, plain evaluation, the tools' world      kept over the steps
 *              └─► kernel: the same tables in real maps, packets through the programs    kept over all clusters
 *
 * At the end of each cluster the tables must be those that an engine from scratch makes.
 */
import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Engine } from './engine.ts';
import { here, interestingPorts, randomChange, randomCluster, randomQuestion, randomSettings } from './generate.ts';
import type { Kernel } from './kernel.ts';
import { naive } from './naive.ts';
import { ofKind, podKey } from './objects.ts';
import type { Answer, KubeObject, Question, Settings } from './objects.ts';
import { Random } from './random.ts';

export interface Disagreement {
  readonly settings: Settings;
  /** The clusters that were loaded one after the other; the last is asked about. */
  readonly steps: readonly (readonly KubeObject[])[];
  readonly question?: Question;
  readonly answers: Readonly<Record<string, string>>;
}

export interface Result {
  readonly decisions: number;
  readonly byKernel: number;
  readonly clusters: number;
  readonly verdicts: Readonly<Record<string, number>>;
  readonly disagreement?: Disagreement;
}

const stepsOfCluster = 6;
const questionsOfStep = 100;

/** Gives way after each cluster, so that results are told while a long run goes on. */
export async function run(options: { readonly seed: number; readonly decisions: number; readonly kernel?: Kernel | undefined }): Promise<Result> {
  const seeds = new Random(options.seed);
  const count = { decisions: 0, byKernel: 0, clusters: 0, verdicts: {} as Record<string, number> };
  while (count.decisions < options.decisions) {
    count.clusters++;
    await setImmediate();
    const disagreement = runCluster(new Random(seeds.seed()), options.kernel, count);
    if (disagreement) return { ...count, disagreement };
  }
  return count;
}

function runCluster(random: Random, kernel: Kernel | undefined, count: { decisions: number; byKernel: number; verdicts: Record<string, number> }): Disagreement | undefined {
  const settings = randomSettings(random);
  const engine = new Engine(settings);
  const steps: KubeObject[][] = [];
  for (let step = 0; step < stepsOfCluster; step++) {
    steps.push(step === 0 ? randomCluster(random) : randomChange(random, steps.at(-1)!));
    const objects = steps.at(-1)!;
    const fault = load(engine, kernel, objects);
    if (fault !== undefined) return { settings, steps, answers: { loading: fault } };
    const interesting = interestingPorts(objects);
    for (let i = 0; i < questionsOfStep; i++) {
      const question = randomQuestion(random, objects, interesting);
      const { answers, agree, byKernel } = answersTo(engine, kernel, question);
      if (!agree) return { settings, steps, question, answers };
      count.decisions++;
      count.byKernel += byKernel;
      count.verdicts[answers['naive']!] = (count.verdicts[answers['naive']!] ?? 0) + 1;
    }
  }
  const fault = differenceFromScratch(engine);
  return fault === undefined ? undefined : { settings, steps, answers: { 'from scratch': fault } };
}

/** Why the cluster cannot be loaded, or the kernel does not hold what it should. */
export function load(engine: Engine, kernel: Kernel | undefined, objects: readonly KubeObject[]): string | undefined {
  try {
    engine.load(objects);
    kernel?.load(engine);
    return kernel?.verify().join('\n') || undefined;
  } catch (error) {
    return String(error);
  }
}

export interface Answers {
  readonly answers: Readonly<Record<string, string>>;
  readonly agree: boolean;
  /** Questions that the programs answered: a packet between two pods here is judged at both ends. */
  readonly byKernel: number;
}

/** What each says; those that have no answer to such a question are left out. */
export function answersTo(engine: Engine, kernel: Kernel | undefined, question: Question): Answers {
  const expected = naive(engine.objects, question, engine.settings);
  const answers: Record<string, string> = { naive: answerText(expected) };
  const say = (who: string, ask: () => string | undefined) => {
    try {
      const text = ask();
      if (text !== undefined) answers[who] = text;
    } catch (error) {
      answers[who] = String(error);
    }
  };
  say('tables', () => {
    const { keep, ...answer } = engine.byTables(question);
    const wrong = expected.keep !== undefined && expected.keep !== keep;
    return answerText(answer) + (wrong ? `, established connections ${keep ? 'go on' : 'end'}` : '');
  });
  say('evaluation', () => answerText(engine.byEvaluation(question)));
  say('world', () => {
    const answer = engine.byWorld(question);
    return answer && answerText(answer);
  });
  let told = 0;
  say('kernel', () => {
    const wrong: string[] = [];
    for (const { question: asked, answer } of kernel?.ask(engine, question) ?? []) {
      told++;
      const [wanted, given] = [answerText(naive(engine.objects, asked, engine.settings)), answerText(answer)];
      if (given !== wanted) wrong.push(`${asked.direction}: ${given}, not ${wanted}`);
    }
    return told === 0 ? undefined : wrong.length === 0 ? answers['naive'] : wrong.join('; ');
  });
  return { answers, agree: new Set(Object.values(answers)).size === 1, byKernel: told };
}

export function answerText({ verdict, passing, reader, shadow }: Answer): string {
  return `${verdict}${reader === undefined ? '' : ` to the ${reader}`}${passing ? `: ${passing.length === 0 ? 'nothing' : passing.join(', ')}` : ''}${shadow === undefined ? '' : `, in shadow ${shadow}`}`;
}

/** Everything that the kernel and an explanation would get, once as it grew and once made at once. */
export function differenceFromScratch(engine: Engine): string | undefined {
  const fresh = engine.fromScratch();
  for (const pod of ofKind(engine.objects, 'Pod').filter(p => p.spec.nodeName === here)) for (const direction of ['ingress', 'egress'] as const) {
    const [grown, made] = [engine, fresh].map(e => e.set({ pod: podKey(pod) }, direction)) as [ReturnType<Engine['set']>, ReturnType<Engine['set']>];
    if (grown.key !== made.key || grown.hash !== made.hash) return `${direction} of ${podKey(pod)}: key ${grown.key} and hash ${grown.hash}, from scratch ${made.key} and ${made.hash}`;
    for (const part of ['classes', 'verdicts', 'rules'] as const) if (!isDeepStrictEqual(grown[part], made[part])) return `${direction} of ${podKey(pod)}: other ${part} than from scratch`;
  }
  return undefined;
}
