import { dropReasonName } from '../datapath/generated/enums.ts';
import type { Endpoint } from '../features/endpoints/endpoint.ts';
import type { CiliumEndpoint } from '../features/endpoints/objects.ts';
import type { Identity } from '../features/identities/allocate.ts';
import type { FlowLookups } from '../flows/enrich.ts';
import type { Node, Pod } from '../kube/types.ts';
import type { FlowPolicy, FlowRule } from '../model/flow.ts';
import { reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import type { RuleInfo } from '../policy/compile.ts';
import { policyAddress } from '../policy/policy.ts';
import type { Table } from '../table/table.ts';
import type { PolicyVersion } from './enforcement.ts';
import { policiesOf } from './kernel-reports.ts';
import { PodNames } from './pod-names.ts';

export interface LookupSources {
  readonly endpoints: Table<Endpoint>;
  readonly ciliumEndpoints: Table<CiliumEndpoint>;
  readonly identities: Table<Identity>;
  /** This node's. */
  readonly pods: Table<Pod>;
  readonly nodes: Table<Node>;
  readonly nodeName: string;
  readonly clusterName: string;
  readonly prefixIdentity: (id: number) => LabelSet | undefined;
  readonly serviceByAddr: FlowLookups['serviceByAddr'];
  readonly rule: (id: number) => RuleInfo | undefined;
  readonly policies: { readonly revision: number; version(address: string): PolicyVersion | undefined };
  readonly namesOf: FlowLookups['namesOf'];
  /** The node's own devices, by number. */
  readonly devices: ReadonlyMap<number, string>;
}

/** What flows are named with. Everything is indexed as the tables change, so a look-up costs a few map accesses. */
export function createLookups(sources: LookupSources): FlowLookups {
  const pods = new PodNames(sources);
  const reservedLabels = new Map(reservedIdentities.map(identity => [identity.id, identity.labels.array]));
  const identityLabels = (id: number) => reservedLabels.get(id) ?? sources.identities.get(String(id))?.labels.array ?? sources.prefixIdentity(id)?.array;
  const versionsOf = (id: number) => {
    const info = sources.rule(id);
    return info ? policiesOf(info).map(named => ({ named, version: sources.policies.version(policyAddress(named)) })) : [];
  };
  return {
    identityLabels,
    podByAddr: (ip, identity, endpoint) => pods.pod(ip, identity, endpoint),
    serviceByAddr: sources.serviceByAddr,
    namesOf: sources.namesOf,
    rule: id => {
      const info = sources.rule(id);
      return info && flowRule(info);
    },
    policiesOf: id => versionsOf(id).map(({ named, version }) => flowPolicy(named, version)),
    logOf: id => versionsOf(id).flatMap(({ version }) => version?.policy.specs.flatMap(spec => spec.log ?? []) ?? []),
    interfaceName: deviceNames(sources),
    dropReason: code => dropReasonName[code],
    nodeLabels: nodeLabels(sources),
    clusterName: sources.clusterName,
    revision: () => pods.revision + sources.identities.revision,
    ruleRevision: () => sources.policies.revision,
  };
}

export function flowRule(info: RuleInfo): FlowRule {
  return {
    id: info.id, kind: info.kind, name: info.name, path: info.path, effect: info.effect, because: info.because,
    ...(info.namespace === undefined ? {} : { namespace: info.namespace }),
  };
}

/** With the labels that upstream derives from a policy's object (pkg/k8s/utils). */
function flowPolicy(named: { readonly kind: string; readonly namespace?: string; readonly name: string }, version: PolicyVersion | undefined): FlowPolicy {
  const { kind, namespace, name } = named;
  const label = (key: string, value: string) => `k8s:io.cilium.k8s.policy.${key}=${value}`;
  const uid = version?.policy.uid;
  return {
    name, ...(namespace !== undefined && { namespace }), kind,
    labels: [label('derived-from', kind), label('name', name), ...(namespace === undefined ? [] : [label('namespace', namespace)]), ...(uid === undefined ? [] : [label('uid', uid)])],
    ...(version && { revision: version.revision }),
  };
}

/** Names of devices by number, also of pods' that have gone, until as many others have come. */
function deviceNames({ endpoints, devices }: LookupSources): FlowLookups['interfaceName'] {
  const changes = endpoints.changes();
  const names = new Map<number, string>();
  return ifindex => {
    if (changes.pending) {
      for (const endpoint of changes.take().changed) {
        names.delete(endpoint.ifindex);
        names.set(endpoint.ifindex, endpoint.hostInterface);
      }
      for (const oldest of names.keys()) {
        if (names.size <= rememberedDevices + endpoints.size) break;
        names.delete(oldest);
      }
    }
    return devices.get(ifindex) ?? names.get(ifindex);
  };
}

const rememberedDevices = 4096;

/** The same array until the node's labels change. */
function nodeLabels({ nodes, nodeName }: LookupSources): () => readonly string[] {
  let object: Node | undefined;
  let texts: readonly string[] = [];
  return () => {
    const now = nodes.get(nodeName);
    if (now !== object) {
      object = now;
      const next = Object.entries(now?.metadata.labels ?? {}).map(([key, value]) => `${key}=${value}`).sort();
      if (next.join() !== texts.join()) texts = next;
    }
    return texts;
  };
}
