import { Document } from 'yaml';
import type { Flow } from '../../model/flow.ts';
import type { RuleStatRow, ShadowRow } from '../../model/kernel-reports.ts';
import type { WebExplanation, WebLeg, WebMatrix, WebPolicies, WebPolicy, WebRule, WebStep, WebWhy } from '../../model/web.ts';
import { accessText, AccessTable, fullAccess, subtract } from '../../policy/access.ts';
import { leg, stepAt, type Step } from '../../policy/connection.ts';
import { portText } from '../../policy/ends.ts';
import { changeYaml, explainLeg, type Explained } from '../../policy/explained.ts';
import { flowConnection } from '../../policy/flow-question.ts';
import { computeMatrix, partiesOf } from '../../policy/matrix.ts';
import { policyText } from '../../policy/policy.ts';
import { readable } from '../../model/readable.ts';
import { reasonsOf } from '../../policy/reasons.ts';
import type { ScenarioPolicy } from '../../policy/scenario.ts';
import { differencesSeen } from '../../policy/shadow.ts';
import { isUnused, policiesOfRule, useOf, type RuleUse } from '../../policy/usage.ts';
import type { World } from '../../policy/world.ts';
import { CirriError, errorText } from '../../std/errors.ts';

/** Why a flow had its verdict, by the policies of now. Where these cannot be asked, the flow itself and the reason. */
export function explainFlow(world: World, flow: Flow): WebExplanation {
  try {
    const { verdict, notes, legs } = flowConnection(world, flow);
    return { flow, verdict, notes, legs: legs.map(each => legView(world, explainLeg(world, each))) };
  } catch (error) {
    if (!(error instanceof CirriError)) throw error;
    return { flow, verdict: 'unknown', problem: errorText(error), notes: [], legs: [] };
  }
}

function legView(world: World, { leg, misses, closing, suggestion }: Explained): WebLeg {
  const steps = leg.steps.map((step): WebStep => {
    const { kind, namespace, name, path, effect, because } = step.rule;
    return {
      direction: step.direction, who: whoOf(step), verdict: step.verdict, because: readable(because), path, effect,
      ...(kind !== 'default' && { policy: { kind, name, ...(namespace !== undefined && { namespace }) } }),
      reasons: reasonsOf(world, step).map(readable),
      closedBy: (closing.get(step) ?? []).map(({ policy, field }) => ({ policy: policyText(policy), field })),
      nearest: (misses.get(step) ?? []).map(({ policy, missed, field, text }) => ({ policy: policyText(policy), missed, field, text: readable(text) })),
    };
  });
  return {
    from: leg.from.text, to: leg.to.text, port: portText(leg), verdict: leg.verdict, steps,
    ...(suggestion && { suggestion: { changes: suggestion.changes.map(change => ({ kind: change.kind, text: readable(change.text), yaml: changeYaml(change) })), alsoChanges: suggestion.sideEffects } }),
  };
}

function whoOf(step: Step): string {
  return step.pod ? `${step.pod.namespace}/${step.pod.name}` : stepAt(step);
}

/** What the agents told: counters of rules, differences of shadows, and what is not in force, by node. */
export interface AgentReports {
  readonly stats: readonly RuleStatRow[];
  readonly shadow: readonly ShadowRow[];
  readonly policies: readonly { readonly node: string; readonly reports: readonly { readonly address: string; readonly enforced: boolean; readonly pending?: boolean; readonly error?: string }[] }[];
  readonly silent: readonly string[];
}

export function policiesView(world: World, reports: AgentReports): WebPolicies {
  const uses = useOf(world, reports.stats);
  const differences = differencesSeen(world, reports.shadow);
  const byPolicy = new Map<string, RuleUse[]>();
  for (const use of uses) {
    if (!use.info) continue;
    for (const address of policiesOfRule(use.info)) byPolicy.set(address, [...(byPolicy.get(address) ?? []), use]);
  }
  return {
    silent: reports.silent,
    policies: world.scenario.policies.map((source): WebPolicy => {
      const { address, policy, errors } = source;
      const found = differences.get(address) ?? [];
      const { namespace, name } = source.object.metadata as { namespace?: string; name: string };
      return {
        address: address.replace('//', '/'), kind: String(source.object.kind), name, ...(namespace !== undefined && { namespace }),
        mode: policy?.mode ?? 'invalid', errors: errors.map(error => `${error.path}: ${error.message} → ${error.mend}`), pods: podsOf(world, source),
        notEnforced: reports.policies.flatMap(({ node, reports: rows }) => rows.filter(row => row.address === address && !row.enforced && row.pending !== true).map(row => ({ node, error: row.error ?? 'not in force' }))),
        rules: (byPolicy.get(address) ?? []).map(ruleView).sort(inOrder), yaml: writtenYaml(source),
        ...(policy?.mode === 'shadow' && { shadow: { differences: found.map(({ counts, verdict, direction, endpoint, peer, ports }) => ({ verdict, direction, endpoint, peer, ports, connections: counts?.connections ?? 0, ...(counts && { lastHit: counts.lastHit }) })) } }),
      };
    }).sort((a, b) => (a.address < b.address ? -1 : 1)),
  };
}

function ruleView(use: RuleUse): WebRule {
  const { path, direction, effect, because } = use.info!;
  return { id: use.rule, path, direction, effect, because: readable(because), packets: use.packets, bytes: use.bytes, connections: use.connections, ...(use.lastHit !== undefined && { lastHit: use.lastHit }), unused: isUnused(use) };
}

/** As written, defaults last. */
function inOrder(a: WebRule, b: WebRule): number {
  return Number(a.path === '') - Number(b.path === '') || a.path.localeCompare(b.path, 'en', { numeric: true });
}

function podsOf({ scenario }: World, { policy }: ScenarioPolicy): number {
  return scenario.pods.filter(pod => !pod.hostNetwork && (policy?.specs ?? []).some(spec => !spec.selectsNodes && spec.subject.matches(pod.labels))).length;
}

/** Without what the API adds. */
function writtenYaml({ object }: ScenarioPolicy): string {
  const { status: _, metadata, apiVersion, kind, ...rest } = JSON.parse(JSON.stringify(object)) as Record<string, unknown> & { metadata: Record<string, unknown> };
  const annotations = Object.fromEntries(Object.entries((metadata['annotations'] ?? {}) as Record<string, string>).filter(([key]) => key !== 'kubectl.kubernetes.io/last-applied-configuration'));
  const kept = { name: metadata['name'], namespace: metadata['namespace'], labels: metadata['labels'], annotations: Object.keys(annotations).length > 0 ? annotations : undefined };
  return new Document({ apiVersion, kind, metadata: JSON.parse(JSON.stringify(kept)), ...rest }).toString({ lineWidth: 0 });
}

// ---- who may talk to whom ----

/** More than this nobody reads, and it takes long to compute. */
const mostParties = 80;

export function matrixView(world: World, namespace: string): WebMatrix {
  const options = { namespaces: [namespace] };
  const isLarge = partiesOf(world, options).length > mostParties;
  const { parties, access } = isLarge ? { parties: partiesOf(world, options), access: [] } : computeMatrix(world, options);
  return {
    namespace, parties: parties.map(party => ({ name: party.name, pods: party.pods.length, ...(party.namespace !== undefined && { namespace: party.namespace }) })),
    cells: access.map(row => row.map(between => (between === undefined ? null : accessText(between)))),
  };
}

/** Why a cell of the matrix is what it is; undefined when there are no such parties. */
export function whyView(world: World, namespace: string, fromName: string, toName: string): WebWhy | undefined {
  const parties = partiesOf(world, { namespaces: [namespace] });
  const [from, to] = [fromName, toName].map(name => parties.find(party => party.name === name));
  if (!from || !to) return undefined;
  const access = new AccessTable(world).between(from.end, to.end);
  // Of what is denied, a port that somebody listens on says more than port 0.
  const denied = subtract(fullAccess, access).filter(span => span.protocol === 6 || span.protocol === 17);
  const listens = to.pods[0]?.ports.map(({ port, protocol }) => ({ protocol: protocol === 'UDP' ? 17 : 6, port })) ?? [];
  const asked = listens.find(({ protocol, port }) => denied.some(span => span.protocol === protocol && span.start <= port && port <= span.end))
    ?? listens[0] ?? (denied[0] ? { protocol: denied[0].protocol, port: Math.max(1, denied[0].start) } : { protocol: 6, port: 80 });
  return { from: from.name, to: to.name, access: accessText(access), leg: legView(world, explainLeg(world, leg(world, from.end, to.end, asked.protocol, asked.port))) };
}
