import type { AddressRow } from '../features/addresses/book.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { EndpointRow } from '../features/endpoints/layout.ts';
import type { AgentEvents } from '../hubble/agent-events.ts';
import type { KubeObject } from '../kube/types.ts';
import type { Logger } from '../std/log.ts';
import { derive } from '../table/derive.ts';
import type { Table } from '../table/table.ts';

export interface AgentEventSources {
  readonly endpoints: Table<Endpoint>;
  /** Endpoints as the kernel has them: a change is a regeneration. */
  readonly endpointRows: Table<EndpointRow>;
  readonly addresses: Table<AddressRow>;
  readonly policies: readonly { readonly resource: { readonly kind: string }; readonly table: Table<KubeObject> }[];
  /** Of the policies in force. */
  readonly policyRevision: () => number;
}

/** Tells Hubble's agent events from what changes in the tables, in batches. */
export function feedAgentEvents(sources: AgentEventSources, events: AgentEvents, dependencies: { readonly log: Logger; readonly signal: AbortSignal }): Promise<void> {
  const { endpoints, endpointRows, addresses, policies } = sources;
  const steps = [
    follow(endpoints, (old, now) => {
      if (!now) events.endpointDeleted(nameOf(old!));
      else if (!old) events.endpointCreated(nameOf(now));
    }),
    follow(endpointRows, (old, now) => {
      if (!now?.ready || now.host || (old?.ready && old.ingressSet === now.ingressSet && old.egressSet === now.egressSet)) return;
      events.endpointRegenerated({ id: now.id, labels: [...endpoints.rows()].find(endpoint => endpoint.id === now.id)?.labels ?? [] });
    }),
    follow(addresses, (old, now) => {
      if (!now) return events.addressDeleted({ cidr: old!.prefix, identity: old!.identity, hostIp: old!.tunnel ?? '' });
      if (old?.identity === now.identity && old.tunnel === now.tunnel) return;
      events.addressUpserted({ cidr: now.prefix, identity: now.identity, hostIp: now.tunnel ?? '' }, old && { identity: old.identity, hostIp: old.tunnel ?? '' });
    }),
    ...policies.map(({ resource, table }) => follow(table, (old, now) => {
      // A status that was written changes the object, and not what it says.
      if (old && now && old.metadata.generation !== undefined && old.metadata.generation === now.metadata.generation) return;
      const labels = policyLabels(resource.kind, (now ?? old)!);
      if (now) events.policyUpdated(labels, sources.policyRevision(), ruleCount(now));
      else events.policyDeleted(labels, sources.policyRevision());
    })),
  ];
  return derive({ name: 'agent events', inputs: [endpoints, endpointRows, addresses, ...policies.map(({ table }) => table)], step: () => steps.forEach(step => step()) }, dependencies);
}

/** Calls with what a row was and is, once for each that changed since the last step. */
function follow<R>(table: Table<R>, tell: (old: R | undefined, now: R | undefined) => void): () => void {
  const changes = table.changes();
  const known = new Map<string, R>();
  return () => {
    if (!changes.pending) return;
    const { changed, deleted } = changes.take();
    for (const row of changed) {
      const key = table.keyOf(row);
      tell(known.get(key), row);
      known.set(key, row);
    }
    for (const key of deleted) {
      const old = known.get(key);
      if (old !== undefined) tell(old, undefined);
      known.delete(key);
    }
  };
}

function nameOf({ id, namespace, podName, labels }: Endpoint): Parameters<AgentEvents['endpointCreated']>[0] {
  return { id, namespace, podName, labels };
}

/** The labels by which Cilium names the rules that come from an object. */
function policyLabels(kind: string, { metadata }: KubeObject): readonly string[] {
  const namespace = metadata.namespace;
  return [
    `k8s:io.cilium.k8s.policy.derived-from=${kind}`, `k8s:io.cilium.k8s.policy.name=${metadata.name}`,
    ...(namespace === undefined || namespace === '' ? [] : [`k8s:io.cilium.k8s.policy.namespace=${namespace}`]), ...(metadata.uid === undefined ? [] : [`k8s:io.cilium.k8s.policy.uid=${metadata.uid}`]),
  ];
}

function ruleCount(object: KubeObject): number {
  const { specs } = object as { readonly specs?: unknown };
  return Array.isArray(specs) ? specs.length : 1;
}
