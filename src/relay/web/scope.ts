import type { Flow, FlowEndpoint, FlowPolicy } from '../../model/flow.ts';
import type { MapInterval, MapNode } from '../../model/service-map.ts';
import type { WebExplanation, WebPolicies } from '../../model/web.ts';

/**
 * What a session of some namespaces may see: flows and edges with an end in one of them, the other end reduced to who it is.
 * Its labels, its policies and where it runs are its own.
 */
export type Scope = ReadonlySet<string>;

export function flowInScope(flow: Flow, scope: Scope): boolean {
  return isOwn(flow.source, scope) || isOwn(flow.destination, scope);
}

export function scopedFlow(flow: Flow, scope: Scope): Flow {
  const [source, destination] = [isOwn(flow.source, scope), isOwn(flow.destination, scope)];
  if (source && destination) return flow;
  const { nodeLabels: _, policyLog: __, ...rest } = flow;
  const own = (policies: readonly FlowPolicy[] | undefined) => policies?.filter(policy => policy.namespace !== undefined && scope.has(policy.namespace));
  const { egressAllowedBy, ingressAllowedBy, egressDeniedBy, ingressDeniedBy, rule } = rest;
  return {
    ...rest,
    source: source ? flow.source : reduced(flow.source), destination: destination ? flow.destination : reduced(flow.destination),
    ...(egressAllowedBy && { egressAllowedBy: own(egressAllowedBy)! }), ...(ingressAllowedBy && { ingressAllowedBy: own(ingressAllowedBy)! }),
    ...(egressDeniedBy && { egressDeniedBy: own(egressDeniedBy)! }), ...(ingressDeniedBy && { ingressDeniedBy: own(ingressDeniedBy)! }),
    ...(rule && !(rule.namespace !== undefined && scope.has(rule.namespace)) && { rule: { ...rule, namespace: undefined, kind: 'default', name: 'elsewhere', path: '', because: 'a policy outside of your namespaces decided' } }),
  } as Flow;
}

function isOwn({ namespace }: FlowEndpoint, scope: Scope): boolean {
  return namespace !== undefined && scope.has(namespace);
}

/** Outside of the cluster there is nobody to hide. */
function reduced(end: FlowEndpoint): FlowEndpoint {
  const { ip, identity, namespace, workloads, names, clusterName } = end;
  const labels = end.labels.filter(label => label.startsWith('reserved:'));
  return { ip, identity, id: 0, labels, ...(clusterName !== undefined && { clusterName }), ...(namespace !== undefined && { namespace }), ...(workloads && { workloads }), ...(names && { names }) };
}

/** The interval as the scope sees it; `known` holds the nodes that its stream has named, and is filled. */
export function scopedInterval(interval: MapInterval, scope: Scope, all: ReadonlyMap<string, MapNode>, known: Set<string>): MapInterval {
  const own = (id: string) => {
    const namespace = all.get(id)?.namespace;
    return namespace !== undefined && scope.has(namespace);
  };
  const edges = interval.edges.filter(edge => own(edge.source) || own(edge.destination));
  const nodes: MapNode[] = [];
  for (const id of edges.flatMap(edge => [edge.source, edge.destination])) {
    const node = all.get(id);
    if (!node || known.has(id)) continue;
    known.add(id);
    nodes.push(own(id) ? node : { ...node, labels: node.labels.filter(label => label.startsWith('reserved:')), services: [] });
  }
  return { ...interval, nodes, edges };
}

/** Steps of other namespaces' pods are left out, and so are changes that this session could not make. */
export function scopedExplanation(explanation: WebExplanation, scope: Scope): WebExplanation {
  const own = (text: string) => scope.has(text.slice(0, Math.max(0, text.indexOf('/'))));
  return {
    ...explanation,
    flow: scopedFlow(explanation.flow, scope),
    legs: explanation.legs.map(({ suggestion, ...leg }) => {
      const steps = leg.steps.filter(step => own(step.who));
      const helps = suggestion && steps.length === leg.steps.length;
      return { ...leg, steps, ...(helps && { suggestion: { ...suggestion, alsoChanges: suggestion.alsoChanges.filter(change => own(change.from) || own(change.to)) } }) };
    }),
  };
}

export function scopedPolicies(policies: WebPolicies, scope: Scope): WebPolicies {
  return { ...policies, policies: policies.policies.filter(policy => policy.namespace !== undefined && scope.has(policy.namespace)) };
}
