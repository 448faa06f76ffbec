/** A disagreement made small: objects, entries and fields are left out as long as somebody still disagrees. */
import { stringify } from 'yaml';
import { Engine } from './engine.ts';
import type { Kernel } from './kernel.ts';
import { questionText } from './objects.ts';
import type { KubeObject } from './objects.ts';
import { answersTo, differenceFromScratch, load } from './run.ts';
import type { Disagreement } from './run.ts';

const maxTries = 3000;

export function shrink(found: Disagreement, kernel: Kernel | undefined): Disagreement {
  // An object that the parser refuses would, made smaller, be refused for good reasons.
  if (found.answers['loading'] !== undefined) return found;
  let smallest = retried({ ...found, steps: [found.steps.at(-1)!] }, kernel) ?? retried(found, kernel) ?? found;
  let tries = 0;
  for (let progress = true; progress && tries < maxTries; ) {
    progress = false;
    for (const steps of smallerSteps(smallest.steps)) {
      if (tries++ >= maxTries) break;
      const next = retried({ ...smallest, steps }, kernel);
      if (!next) continue;
      smallest = next;
      progress = true;
      break;
    }
  }
  return smallest;
}

/** The same again from nothing; undefined when all agree now, or when there is nothing to ask about any more. */
function retried(candidate: Disagreement, kernel: Kernel | undefined): Disagreement | undefined {
  const engine = new Engine(candidate.settings);
  kernel?.forget();
  try {
    for (const objects of candidate.steps) if (load(engine, kernel, objects) !== undefined) return undefined;
    if (!candidate.question) {
      const fault = differenceFromScratch(engine);
      return fault === undefined ? undefined : { ...candidate, answers: { 'from scratch': fault } };
    }
    const { answers, agree } = answersTo(engine, kernel, candidate.question);
    return agree || newFaults(candidate.answers, answers) ? undefined : { ...candidate, answers };
  } catch {
    return undefined;
  }
}

/** Who gave a verdict before, or failed otherwise, must not fail now: that would be another story. */
function newFaults(before: Disagreement['answers'], now: Disagreement['answers']): boolean {
  const fault = (answer = '') => (/Error\b/.test(answer) ? answer.replace(/\d+/g, '') : undefined);
  return Object.keys(now).some(who => fault(now[who]) !== undefined && fault(now[who]) !== fault(before[who]));
}

type Steps = readonly (readonly KubeObject[])[];

/** Larger cuts first. */
function* smallerSteps(steps: Steps): Generator<Steps> {
  for (let i = 0; i < steps.length - 1; i++) yield steps.filter((_, j) => j !== i);
  const texts = new Set(steps.flat().map(o => JSON.stringify(o)));
  for (const text of texts) yield steps.map(objects => objects.filter(o => JSON.stringify(o) !== text));
  for (const text of texts) {
    const object = JSON.parse(text) as KubeObject;
    for (const smaller of smallerValues(object)) yield steps.map(objects => objects.map(o => (JSON.stringify(o) === text ? smaller as KubeObject : o)));
  }
}

/** Without these an object is none. */
const needed = new Set(['kind', 'name', 'namespace', 'status', 'nodeName', 'containers', 'containerPort']);

/** The value without one field or entry, at any depth. */
function* smallerValues(value: unknown): Generator<unknown> {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) yield value.filter((_, j) => j !== i);
    for (let i = 0; i < value.length; i++) for (const smaller of smallerValues(value[i])) yield value.map((v: unknown, j) => (j === i ? smaller : v));
  } else if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value);
    for (const [key] of fields) if (!needed.has(key)) yield Object.fromEntries(fields.filter(([k]) => k !== key));
    for (const [key, inner] of fields) if (key !== 'status') for (const smaller of smallerValues(inner)) yield Object.fromEntries(fields.map(([k, v]) => [k, k === key ? smaller : v]));
  }
}

/** For people: the objects as YAML, the question, who says what. */
export function disagreementText(found: Disagreement): string {
  const documents = (objects: readonly KubeObject[]) => objects.map(o => stringify(o)).join('---\n');
  return [
    `settings: ${JSON.stringify(found.settings)}`,
    ...found.steps.map((objects, i) => `${found.steps.length > 1 ? `# step ${i + 1} of ${found.steps.length}\n` : ''}${documents(objects)}`),
    ...(found.question ? [questionText(found.question)] : []),
    ...Object.entries(found.answers).map(([who, answer]) => `  ${who}: ${answer}`),
  ].join('\n');
}
