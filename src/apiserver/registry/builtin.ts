import type { Hooks, ResourceType, SubresourceInfo } from './resource.ts';
import { builtinSchema } from '../schema/builtin.ts';
import { dnsLabel, dnsLabel1035, dnsSubdomain, pathSegment } from '../schema/names.ts';
import type { NameRule } from '../schema/names.ts';
import { podHooks } from '../strategy/pods.ts';
import { endpointSliceHooks, endpointsHooks } from '../strategy/endpoints.ts';
import { configMapHooks, ingressHooks, namespaceHooks, networkPolicyHooks, nodeHooks, plainHooks, secretHooks } from '../strategy/simple.ts';
import { daemonSetHooks, deploymentHooks, jobHooks, replicaSetHooks, statefulSetHooks } from '../strategy/workloads.ts';
import { builtinColumns } from '../table/builtin.ts';
import { eventConversion } from './events.ts';

/** What is particular about a built-in resource; the rest follows from its kind. */
interface Declaration {
  readonly kind: string;
  readonly plural: string;
  readonly short?: readonly string[];
  readonly cluster?: true;
  readonly all?: true;
  readonly status?: true;
  readonly scale?: true;
  readonly fields?: readonly string[];
  readonly names?: NameRule;
  readonly hooks?: Hooks;
  readonly subresources?: readonly SubresourceInfo[];
}

const eventFields = ['involvedObject.kind', 'involvedObject.namespace', 'involvedObject.name', 'involvedObject.uid', 'involvedObject.apiVersion', 'involvedObject.resourceVersion', 'involvedObject.fieldPath', 'reason', 'reportingComponent', 'source', 'type'];
const podFields = ['spec.nodeName', 'spec.restartPolicy', 'spec.schedulerName', 'spec.serviceAccountName', 'spec.hostNetwork', 'status.phase', 'status.podIP', 'status.podIPs', 'status.nominatedNodeName'];

const podSubresources: readonly SubresourceInfo[] = [
  { name: 'log', kind: 'Pod', verbs: ['get'] },
  { name: 'binding', kind: 'Binding', verbs: ['create'] },
  { name: 'eviction', kind: 'Eviction', group: 'policy', version: 'v1', verbs: ['create'] },
];

/** The built-in resources of a group in version v1. */
function declarations(services: Hooks): Readonly<Record<string, readonly Declaration[]>> {
  return {
    '': [
      { kind: 'Namespace', plural: 'namespaces', short: ['ns'], cluster: true, status: true, fields: ['status.phase'], names: dnsLabel, hooks: namespaceHooks },
      { kind: 'Pod', plural: 'pods', short: ['po'], all: true, status: true, fields: podFields, hooks: podHooks, subresources: podSubresources },
      { kind: 'Service', plural: 'services', short: ['svc'], all: true, status: true, fields: ['spec.clusterIP', 'spec.type'], names: dnsLabel1035, hooks: { ...services, generationFields: [] } },
      { kind: 'Endpoints', plural: 'endpoints', short: ['ep'], hooks: endpointsHooks },
      { kind: 'Node', plural: 'nodes', short: ['no'], cluster: true, status: true, fields: ['spec.unschedulable'], hooks: nodeHooks },
      { kind: 'ConfigMap', plural: 'configmaps', short: ['cm'], hooks: configMapHooks },
      { kind: 'Secret', plural: 'secrets', fields: ['type'], hooks: secretHooks },
      { kind: 'ServiceAccount', plural: 'serviceaccounts', short: ['sa'], hooks: plainHooks, subresources: [{ name: 'token', kind: 'TokenRequest', group: 'authentication.k8s.io', version: 'v1', verbs: ['create'] }] },
      { kind: 'Event', plural: 'events', short: ['ev'], fields: eventFields, hooks: plainHooks },
      { kind: 'PersistentVolumeClaim', plural: 'persistentvolumeclaims', short: ['pvc'], status: true, hooks: plainHooks },
    ],
    'apps': [
      { kind: 'Deployment', plural: 'deployments', short: ['deploy'], all: true, status: true, scale: true, hooks: deploymentHooks },
      { kind: 'ReplicaSet', plural: 'replicasets', short: ['rs'], all: true, status: true, scale: true, fields: ['status.replicas'], hooks: replicaSetHooks },
      { kind: 'DaemonSet', plural: 'daemonsets', short: ['ds'], all: true, status: true, hooks: daemonSetHooks },
      { kind: 'StatefulSet', plural: 'statefulsets', short: ['sts'], all: true, status: true, scale: true, hooks: statefulSetHooks },
      { kind: 'ControllerRevision', plural: 'controllerrevisions', hooks: plainHooks },
    ],
    'batch': [
      { kind: 'Job', plural: 'jobs', all: true, status: true, fields: ['status.successful'], hooks: jobHooks },
      { kind: 'CronJob', plural: 'cronjobs', short: ['cj'], all: true, status: true },
    ],
    'policy': [{ kind: 'PodDisruptionBudget', plural: 'poddisruptionbudgets', short: ['pdb'], status: true }],
    'discovery.k8s.io': [{ kind: 'EndpointSlice', plural: 'endpointslices', hooks: endpointSliceHooks }],
    'networking.k8s.io': [
      { kind: 'NetworkPolicy', plural: 'networkpolicies', short: ['netpol'], hooks: networkPolicyHooks },
      { kind: 'Ingress', plural: 'ingresses', short: ['ing'], status: true, hooks: ingressHooks },
      { kind: 'IngressClass', plural: 'ingressclasses', cluster: true },
    ],
    'coordination.k8s.io': [{ kind: 'Lease', plural: 'leases', hooks: plainHooks }],
    'events.k8s.io': [{ kind: 'Event', plural: 'events', short: ['ev'], fields: ['regarding.kind', 'regarding.namespace', 'regarding.name', 'regarding.uid', 'reason', 'type', 'reportingController'], hooks: plainHooks }],
    'rbac.authorization.k8s.io': [
      { kind: 'Role', plural: 'roles', names: pathSegment, hooks: plainHooks },
      { kind: 'RoleBinding', plural: 'rolebindings', names: pathSegment, hooks: plainHooks },
      { kind: 'ClusterRole', plural: 'clusterroles', cluster: true, names: pathSegment, hooks: plainHooks },
      { kind: 'ClusterRoleBinding', plural: 'clusterrolebindings', cluster: true, names: pathSegment, hooks: plainHooks },
    ],
  };
}

const workloadScale = { specReplicas: 'spec.replicas', statusReplicas: 'status.replicas', selector: 'status.selector' };

export function builtinTypes(services: Hooks, crdHooks: Hooks): ResourceType[] {
  const types = Object.entries(declarations(services)).flatMap(([group, list]) => list.map(d => declared(group, d)));
  return [...types, declared('apiextensions.k8s.io', { kind: 'CustomResourceDefinition', plural: 'customresourcedefinitions', short: ['crd', 'crds'], cluster: true, status: true, hooks: crdHooks })];
}

function declared(group: string, d: Declaration): ResourceType {
  const schema = builtinSchema(group, d.kind);
  // Events of both groups are the same objects.
  const shared = group === 'events.k8s.io';
  const collection = group === '' || shared ? d.plural : `${group}/${d.plural}`;
  return {
    group, version: 'v1', kind: d.kind, listKind: `${d.kind}List`, plural: d.plural, singular: d.kind.toLowerCase(),
    shortNames: d.short ?? [], categories: d.all ? ['all'] : [], namespaced: !d.cluster, collection,
    storedAs: group === '' || shared ? 'v1' : `${group}/v1`, schema, typeName: schema.typeName!, strategic: true, custom: false,
    statusSubresource: d.status ?? false, ...(d.scale ? { scale: workloadScale } : {}), subresources: d.subresources ?? [],
    selectableFields: d.fields ?? [], columns: builtinColumns(collection), nameRule: d.names ?? dnsSubdomain, hooks: d.hooks ?? {},
    ...(shared ? { conversion: eventConversion } : {}),
  };
}
