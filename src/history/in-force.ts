import type { Flow, FlowEndpoint } from '../model/flow.ts';
import { policyOf } from './decision.ts';

export interface InForce {
  /** The newest verdict; its labels and policies are those of its moment. */
  readonly flow: Flow;
  readonly source: string;
  readonly destination: string;
  readonly port: string;
  readonly policy: string;
  /** Of the policy, where it was recorded. */
  readonly revision: string;
}

/** Of each connection between the same two parties to the same port, as one side judged it: the verdict that came last. */
export function inForce(verdicts: readonly Flow[]): InForce[] {
  const newest = new Map<string, InForce>();
  for (const flow of verdicts) {
    const [source, destination] = [partyOf(flow.source), partyOf(flow.destination)];
    const port = flow.protocol.startsWith('ICMP') ? `${flow.icmpType ?? 0}/${flow.protocol}` : `${flow.destinationPort ?? 0}/${flow.protocol}`;
    const key = [source, destination, port, flow.direction].join('\n');
    const known = newest.get(key);
    if (known && known.flow.time >= flow.time) continue;
    const lists = [flow.egressDeniedBy, flow.ingressDeniedBy, flow.egressAllowedBy, flow.ingressAllowedBy];
    const revision = lists.flatMap(list => list ?? []).find(policy => policy.revision !== undefined)?.revision;
    newest.set(key, { flow, source, destination, port, policy: [policyOf(flow), flow.rule?.path].filter(Boolean).join(' ') || '-', revision: revision === undefined ? '-' : String(revision) });
  }
  return [...newest.values()].sort((a, b) => (a.source + a.destination + a.port < b.source + b.destination + b.port ? -1 : 1));
}

/** Pods of a workload are one party. */
function partyOf({ namespace, workloads, podName, names, ip, labels }: FlowEndpoint): string {
  if (namespace !== undefined) return `${namespace}/${workloads?.[0]?.name ?? podName ?? ip}`;
  const reserved = labels.find(label => label.startsWith('reserved:'));
  return names?.[0] ?? (reserved !== undefined && reserved !== 'reserved:world' ? `${reserved.slice(9)} ${ip}` : ip);
}
