/**
 * The smallest change that lets a denied connection pass. Candidates are applied to the objects as they were written,
 * parsed again, and the whole world is decided again: what is suggested has been tried, and what else it would open or
 * close is part of the suggestion.
 */
import { AccessTable, accessWords, sameAccess, subtract } from './access.ts';
import type { Access } from './access.ts';
import { candidates } from './candidates.ts';
import type { Candidate } from './candidates.ts';
import { leg } from './connection.ts';
import type { Leg, Step } from './connection.ts';
import { applyEdits, jsonPatch } from './edit.ts';
import type { Edit } from './edit.ts';
import { hostPrefix, identityOf } from './ends.ts';
import type { End } from './ends.ts';
import { partiesOf } from './matrix.ts';
import type { MatrixOptions, Party } from './matrix.ts';
import type { Policy } from './policy.ts';
import { readPolicy, withPolicies } from './scenario.ts';
import type { ScenarioObject, ScenarioPolicy } from './scenario.ts';
import { World } from './world.ts';

export interface Change {
  readonly kind: 'patch' | 'new';
  readonly text: string;
  /** `policies/web.yaml:12`, where there is something to change. */
  readonly place?: string;
  readonly edits: readonly Edit[];
  readonly jsonPatch: ReturnType<typeof jsonPatch>;
  /** The whole policy after the change, without what the API adds. */
  readonly object: ScenarioObject;
}

export interface SideEffect { readonly from: string; readonly to: string; readonly gained: readonly string[]; readonly lost: readonly string[] }

export interface Suggestion {
  /** One for each end that denies; two ends of one policy may need two. */
  readonly changes: readonly Change[];
  /** What the changes do beside the connection that was asked for. */
  readonly sideEffects: readonly SideEffect[];
  /** All changes together were tried, and the connection passes. */
  readonly verified: true;
}

const maxChanges = 4;

/** Undefined where no small change helps: enforcement that does not exist yet, denials that no policy wrote. */
export function suggest(world: World, denied: Leg): Suggestion | undefined {
  const changes: Change[] = [];
  let current = world;
  let at = denied;
  while (at.verdict === 'deny' && changes.length < maxChanges) {
    const step = at.steps.find(s => s.verdict === 'deny')!;
    const best = bestOf(current, at, step);
    if (!best) return undefined;
    changes.push(best.change);
    current = best.world;
    at = leg(current, denied.from, denied.to, denied.protocol, denied.port);
  }
  if (at.verdict === 'deny') return undefined;
  return { changes, sideEffects: sideEffects(world, current, denied), verified: true };
}

interface Tried { readonly change: Change; readonly world: World; readonly cost: readonly [effects: number, size: number] }

function bestOf(world: World, denied: Leg, step: Step): Tried | undefined {
  const tried = candidates(world, step).flatMap(candidate => tryCandidate(world, denied, step, candidate) ?? []);
  return tried.sort((a, b) => a.cost[0] - b.cost[0] || a.cost[1] - b.cost[1])[0];
}

function tryCandidate(world: World, denied: Leg, step: Step, candidate: Candidate): Tried | undefined {
  const { clusterName } = world.scenario;
  const object = candidate.kind === 'new' ? candidate.object as ScenarioObject : applyEdits(candidate.source.object, candidate.edits);
  const place = candidate.kind === 'patch' ? candidate.source.place : () => 'the suggested policy';
  const changed = readPolicy({ object, place }, { namespace: step.pod.namespace, clusterName });
  if (!changed.policy || (candidate.kind === 'new' && world.sourceOf(changed.address))) return undefined;
  const next = new World(withPolicies(world.scenario, [changed]));
  const after = leg(next, denied.from, denied.to, denied.protocol, denied.port).steps.find(s => s.direction === step.direction && s.pod === step.pod)!;
  const helps = after.verdict === 'allow' || (after.rule.id !== step.rule.id && step.rule.effect === 'deny');
  if (!helps) return undefined;
  const effects = endEffects(world, next, step, subjectTest(world, changed));
  const edits = candidate.kind === 'patch' ? candidate.edits : [];
  return {
    world: next, cost: [effects, sizeOf(candidate)],
    change: {
      kind: candidate.kind, text: candidate.text, edits, jsonPatch: jsonPatch(edits), object: presentable(object),
      ...(candidate.kind === 'patch' && { place: candidate.source.place(edits[0]!.path.replace(/\[-\]$/, '')) }),
    },
  };
}

/** Leaves that are written; a new object weighs more than any patch with the same effect. */
function sizeOf(candidate: Candidate): number {
  const leaves = (value: unknown): number => (typeof value === 'object' && value !== null ? Object.values(value).reduce<number>((sum, v) => sum + leaves(v), 0) : 1);
  if (candidate.kind === 'new') return 20 + leaves(candidate.object);
  // Removing a rule is no smaller than an exception in it.
  return candidate.edits.reduce((sum, edit) => sum + (edit.op === 'remove' ? 10 : leaves(edit.value)), 0);
}

// ---- effects ----

/** Pods that the policy selects, before or after the change. */
function subjectTest(world: World, changed: ScenarioPolicy): (party: Party) => boolean {
  const specs = [changed.policy, world.sourceOf(changed.address)?.policy].filter((p): p is Policy => p !== undefined).flatMap(p => p.specs);
  return party => party.pods.length > 0 && specs.some(s => s.subject.matches(party.pods[0]!.labels));
}

function matrixOptions(before: World, after: World, asked: readonly End[]): MatrixOptions {
  const own = asked.flatMap(e => (e.type === 'identity' && e.prefix !== undefined ? [hostPrefix(e.prefix)] : []));
  return { entities: true, prefixes: [...new Set([...before.prefixes, ...after.prefixes].map(p => p.text).concat(own))] };
}

/** How many pairs change at this end alone, whatever the other ends say, beside the one that was asked for. */
function endEffects(before: World, after: World, step: Step, isSubject: (party: Party) => boolean): number {
  const options = matrixOptions(before, after, [step.peer]);
  const [were, are] = [partiesOf(before, options), partiesOf(after, options)];
  const [oldTable, newTable] = [new AccessTable(before), new AccessTable(after)];
  let count = 0;
  for (const [i, subject] of were.entries()) {
    if (!isSubject(subject)) continue;
    for (const [j, peer] of were.entries()) {
      const was = oldTable.atOneEnd(subject.end, step.direction, peer.end);
      const is = newTable.atOneEnd(are[i]!.end, step.direction, are[j]!.end);
      if (sameAccess(was, is)) continue;
      const asked = isAsked(before, subject.end, step) && isPeer(before, peer.end, step);
      if (!asked || !isOnly(subtract(is, was), step) || subtract(was, is).length > 0) count++;
    }
  }
  return count;
}

function isAsked(world: World, end: End, step: Step): boolean {
  return end.type === 'pod' && world.memberOf(end.pod) === world.memberOf(step.pod);
}

function isPeer(world: World, end: End, step: Step): boolean {
  if (end.type === 'identity' && step.peer.type === 'identity' && step.peer.prefix !== undefined) return end.prefix !== undefined && hostPrefix(end.prefix) === hostPrefix(step.peer.prefix);
  return identityOf(world, end, step.pod) === identityOf(world, step.peer, step.pod);
}

function isOnly(access: Access, { protocol, port }: { readonly protocol: number; readonly port: number }): boolean {
  return access.every(s => s.protocol === protocol && s.start === port && s.end === port);
}

/** End to end, over all pods and what the policies name outside. */
function sideEffects(before: World, after: World, asked: Leg): readonly SideEffect[] {
  const options = matrixOptions(before, after, [asked.from, asked.to]);
  const [were, are] = [partiesOf(before, options), partiesOf(after, options)];
  const [oldTable, newTable] = [new AccessTable(before), new AccessTable(after)];
  const effects: SideEffect[] = [];
  for (const [i, from] of were.entries()) {
    for (const [j, to] of were.entries()) {
      if (from.pods.length === 0 && to.pods.length === 0) continue;
      const [was, is] = [oldTable.between(from.end, to.end), newTable.between(are[i]!.end, are[j]!.end)];
      if (sameAccess(was, is)) continue;
      const isThis = sameEnd(before, from.end, asked.from) && sameEnd(before, to.end, asked.to);
      const gained = subtract(is, was).filter(s => !(isThis && isOnly([s], asked)));
      const lost = subtract(was, is);
      if (gained.length + lost.length > 0) effects.push({ from: from.name, to: to.name, gained: accessWords(gained), lost: accessWords(lost) });
    }
  }
  return effects;
}

function sameEnd(world: World, a: End, b: End): boolean {
  if (a.type === 'pod' || b.type === 'pod') return a.type === 'pod' && b.type === 'pod' && world.memberOf(a.pod) === world.memberOf(b.pod);
  if (a.type === 'identity' && b.type === 'identity' && b.prefix !== undefined) return a.prefix !== undefined && hostPrefix(a.prefix) === hostPrefix(b.prefix);
  return identityOf(world, a) === identityOf(world, b);
}

/** Without status and what the API writes into metadata. */
function presentable(object: ScenarioObject): ScenarioObject {
  const { name, namespace, labels } = object.metadata ?? {};
  const metadata = { name, ...(namespace !== undefined && { namespace }), ...(labels !== undefined && { labels }) };
  return {
    apiVersion: object.apiVersion, kind: object.kind, metadata,
    ...(object.spec !== undefined && { spec: object.spec }), ...(object['specs'] !== undefined && { specs: object['specs'] }),
  };
}
