/** A leg of a connection, explained: what came nearest to letting it pass, what closed it, and the smallest change that would. */
import { Document, isNode, type Node } from 'yaml';
import type { Leg, Step } from './connection.ts';
import { pathSteps } from './edit.ts';
import { closingPolicies, nearMisses, type NearMiss } from './near-miss.ts';
import { suggest, type Change, type Suggestion } from './suggest.ts';
import type { World } from './world.ts';

const shownMisses = 2;

export interface Explained {
  readonly leg: Leg;
  /** Of each end that denies. */
  readonly misses: ReadonlyMap<Step, readonly NearMiss[]>;
  readonly closing: ReadonlyMap<Step, ReturnType<typeof closingPolicies>>;
  readonly suggestion: Suggestion | undefined;
}

export function explainLeg(world: World, leg: Leg): Explained {
  // What would let a request pass is for its author to say.
  const denied = leg.steps.filter(step => step.verdict === 'deny' && step.request === undefined);
  return {
    leg, misses: new Map(denied.map(step => [step, nearMisses(world, step).slice(0, shownMisses)] as const)),
    closing: new Map(denied.filter(step => step.rule.effect === 'default-deny').map(step => [step, closingPolicies(world, step)] as const)),
    suggestion: denied.length > 0 ? suggest(world, leg) : undefined,
  };
}

/** The whole policy, what is new marked. */
export function changeYaml(change: Change): string {
  const document = new Document(JSON.parse(JSON.stringify(change.object)));
  for (const { op, path } of change.edits) {
    if (op !== 'add') continue;
    const steps = pathSteps(path);
    const parent = document.getIn(steps.slice(0, -1), true) as { items?: readonly unknown[] } | undefined;
    const added = steps.at(-1) === '-' ? parent?.items?.at(-1) : document.getIn(steps, true);
    if (isNode(added)) (added as Node).commentBefore = ' added';
  }
  return document.toString({ lineWidth: 0 });
}
