/**
 * The smallest change that lets a denied connection pass. Candidates are applied to the objects as they were written,
 * parsed again, and the whole world is decided again: what is suggested has been tried, and what else it would open or
 * close is part of the suggestion.
 */
import { AccessTable, accessWords, newlyAudited, sameAccess, subtract } from './access.ts';
import type { Access } from './access.ts';
import { candidates } from './candidates.ts';
import type { Candidate } from './candidates.ts';
import { leg } from './connection.ts';
import type { Leg, Step } from './connection.ts';
import { applyEdits, jsonPatch } from './edit.ts';
import type { Edit } from './edit.ts';
import { hostPrefix, identityOf, nodeOf } from './ends.ts';
import type { End } from './ends.ts';
import { hasPolicies, partiesOf } from './matrix.ts';
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

export interface SideEffect {
  readonly from: string;
  readonly to: string;
  readonly gained: readonly string[];
  readonly lost: readonly string[];
  /** Passes on, but only because its new denial is in audit. */
  readonly audited: readonly string[];
}

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

interface Tried { readonly change: Change; readonly world: World; readonly cost: readonly [effects: number, unfinished: number, size: number] }

function bestOf(world: World, denied: Leg, step: Step): Tried | undefined {
  const tried = candidates(world, step).flatMap(candidate => tryCandidate(world, denied, step, candidate) ?? []);
  return tried.sort((a, b) => a.cost[0] - b.cost[0] || a.cost[1] - b.cost[1] || a.cost[2] - b.cost[2])[0];
}

function tryCandidate(world: World, denied: Leg, step: Step, candidate: Candidate): Tried | undefined {
  const { clusterName } = world.scenario;
  const object = candidate.kind === 'new' ? candidate.object as ScenarioObject : applyEdits(candidate.source.object, candidate.edits);
  const place = candidate.kind === 'patch' ? candidate.source.place : () => 'the suggested policy';
  const changed = readPolicy({ object, place }, { namespace: step.pod?.namespace ?? 'default', clusterName });
  if (!changed.policy || (candidate.kind === 'new' && world.sourceOf(changed.address))) return undefined;
  const next = new World(withPolicies(world.scenario, [changed]), world.options);
  const after = leg(next, denied.from, denied.to, denied.protocol, denied.port).steps.find(s => s.direction === step.direction);
  // A node that no policy is for any more is not asked.
  const passes = after === undefined || after.verdict !== 'deny';
  const helps = passes || (after.rule.id !== step.rule.id && step.rule.effect === 'deny');
  if (!helps) return undefined;
  const effects = endEffects(world, next, step, subjectTest(world, changed));
  const edits = candidate.kind === 'patch' ? candidate.edits : [];
  return {
    world: next, cost: [effects, passes ? 0 : 1, sizeOf(candidate)],
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
  // Removing a rule is no smaller than an exception in it, and an exception for a whole namespace is for pods to come too.
  const isWide = ({ op, path }: Edit) => op === 'remove' || path.includes('.namespaces.matchExpressions');
  return candidate.edits.reduce((sum, edit) => sum + (isWide(edit) ? 10 : leaves(edit.value)), 0);
}

// ---- effects ----

/** Whom the policy selects, before or after the change. */
function subjectTest(world: World, changed: ScenarioPolicy): (party: Party) => boolean {
  const specs = [changed.policy, world.sourceOf(changed.address)?.policy].filter((p): p is Policy => p !== undefined).flatMap(p => p.specs);
  return ({ end }) => {
    const member = end.type === 'pod' ? world.memberOf(end.pod) : end.type === 'node' && end.node !== undefined ? world.nodeMember(end.node) : undefined;
    return member !== undefined && specs.some(s => s.selectsNodes === (end.type === 'node') && s.subject.matches(member.subject.labels));
  };
}

function matrixOptions(before: World, after: World, asked: readonly End[]): MatrixOptions {
  const own = asked.flatMap(e => (e.type === 'identity' && e.prefix !== undefined ? [hostPrefix(e.prefix)] : []));
  return {
    entities: true, prefixes: [...new Set([...before.prefixes, ...after.prefixes].map(p => p.text).concat(own))],
    nodes: asked.some(e => e.type === 'node') || before.tellsNodesApart || after.tellsNodesApart, worlds: [before, after],
  };
}

/** How many pairs change at this end alone, whatever the other ends say, beside the one that was asked for. */
function endEffects(before: World, after: World, step: Step, isSubject: (party: Party) => boolean): number {
  const options = matrixOptions(before, after, [step.end, step.peer]);
  const parties = partiesOf(before, options);
  const [oldTable, newTable] = [new AccessTable(before), new AccessTable(after)];
  let count = 0;
  for (const subject of parties) {
    if (!isSubject(subject)) continue;
    for (const peer of parties) {
      const was = oldTable.atOneEnd(subject.end, step.direction, peer.end);
      const is = newTable.atOneEnd(subject.end, step.direction, peer.end);
      if (sameAccess(was, is)) continue;
      const asked = isParty(before, subject, step.end, step.peer) && isParty(before, peer, step.peer, step.end);
      if (!asked || !isOnly(subtract(is, was), step) || subtract(was, is).length > 0) count++;
    }
  }
  return count;
}

/** The party that an end belongs to. `other` says which node the host is. */
function isParty(world: World, party: Party, end: End, other: End): boolean {
  if (end.type === 'pod') return party.pods.includes(end.pod);
  if (end.type === 'node' && nodeOf(end, other) !== undefined && world.nodeMember(nodeOf(end, other)!)) return party.end.type === 'node' && party.end.node === nodeOf(end, other);
  if (party.end.type === 'pod' || (party.end.type === 'node') !== (end.type === 'node' && !end.local && end.node !== undefined)) return false;
  if (end.type === 'identity' && end.prefix !== undefined) return party.end.type === 'identity' && party.end.prefix !== undefined && hostPrefix(party.end.prefix) === hostPrefix(end.prefix);
  return identityOf(world, party.end, 'ingress') === identityOf(world, end, 'ingress');
}

function isOnly(access: Access, { protocol, port }: { readonly protocol: number; readonly port: number }): boolean {
  return access.every(s => s.protocol === protocol && s.start === port && s.end === port);
}

/** End to end, over all pods and what the policies name outside. */
function sideEffects(before: World, after: World, asked: Leg): readonly SideEffect[] {
  const parties = partiesOf(before, matrixOptions(before, after, [asked.from, asked.to]));
  const [oldTable, newTable] = [new AccessTable(before), new AccessTable(after)];
  const effects: SideEffect[] = [];
  for (const from of parties) {
    for (const to of parties) {
      if (!hasPolicies(from) && !hasPolicies(to)) continue;
      const [was, is] = [oldTable.between(from.end, to.end), newTable.between(from.end, to.end)];
      if (sameAccess(was, is)) continue;
      const isThis = isParty(before, from, asked.from, asked.to) && isParty(before, to, asked.to, asked.from);
      const gained = subtract(is, was).filter(s => !(isThis && isOnly([s], asked)));
      const [lost, audited] = [subtract(was, is), newlyAudited(is, was)];
      if (gained.length + lost.length + audited.length > 0) effects.push({ from: from.name, to: to.name, gained: accessWords(gained), lost: accessWords(lost), audited: accessWords(audited) });
    }
  }
  return effects;
}

/** Without status and what the API and its tools write into metadata; our own annotations say how the policy acts. */
function presentable(object: ScenarioObject): ScenarioObject {
  const { name, namespace, labels } = object.metadata ?? {};
  const ours = Object.entries((object.metadata?.annotations ?? {}) as Readonly<Record<string, unknown>>).filter(([key]) => key.startsWith('policy.cirri.io/'));
  const metadata = { name, ...(namespace !== undefined && { namespace }), ...(labels !== undefined && { labels }), ...(ours.length > 0 && { annotations: Object.fromEntries(ours) }) };
  return {
    apiVersion: object.apiVersion, kind: object.kind, metadata,
    ...(object.spec !== undefined && { spec: object.spec }), ...(object['specs'] !== undefined && { specs: object['specs'] }),
  };
}
