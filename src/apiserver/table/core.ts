import { asArray, asObjects, asString, at } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import { ageOf } from './age.ts';
import type { Column } from './column.ts';
import { ageColumn, column, labelsText, nameColumn, none, number, unknown, wide } from './common.ts';

const keyCount = (object: KubeObject, ...fields: readonly string[]) => fields.reduce((sum, f) => sum + Object.keys((at(object, f) ?? {}) as JsonObject).length, 0);

function externalIps(service: KubeObject): string {
  const spec = (at(service, 'spec') ?? {}) as JsonObject;
  const external = asArray(spec['externalIPs']).map(String);
  const ingress = asObjects(at(service, 'status', 'loadBalancer', 'ingress')).map(i => asString(i['ip']) ?? asString(i['hostname']) ?? '');
  switch (spec['type']) {
    case 'ExternalName': return asString(spec['externalName']) ?? none;
    case 'LoadBalancer': return [...ingress, ...external].join(',') || '<pending>';
    default: return external.join(',') || none;
  }
}

function portsText(service: KubeObject): string {
  return asObjects(at(service, 'spec', 'ports')).map(p => `${String(p['port'])}${p['nodePort'] ? `:${String(p['nodePort'])}` : ''}/${String(p['protocol'])}`).join(',') || none;
}

const mostShown = 3;

/** `10.0.0.1:80,10.0.0.2:80 + 5 more...` */
export function shortList(items: readonly string[]): string {
  if (items.length === 0) return none;
  const rest = items.length - mostShown;
  return items.slice(0, mostShown).join(',') + (rest > 0 ? ` + ${rest} more...` : '');
}

function endpointsText(endpoints: KubeObject): string {
  return shortList(asObjects(endpoints['subsets']).flatMap(subset => {
    const addresses = asObjects(subset['addresses']).map(a => String(a['ip']));
    const ports = asObjects(subset['ports']);
    if (ports.length === 0) return addresses;
    return ports.flatMap(p => addresses.map(a => (a.includes(':') ? `[${a}]:${String(p['port'])}` : `${a}:${String(p['port'])}`)));
  }));
}

const eventTime = (event: KubeObject, ...keys: readonly string[]) => keys.map(key => asString(at(event, ...key.split('.')))).find(t => t !== undefined) ?? event.metadata.creationTimestamp;

const involved = (event: KubeObject) => (event['involvedObject'] ?? event['regarding'] ?? {}) as JsonObject;

function sourceText(event: KubeObject): string {
  const source = (event['source'] ?? event['deprecatedSource']) as JsonObject | undefined;
  return [asString(source?.['component']) ?? asString(event['reportingComponent'] ?? event['reportingController']) ?? '', asString(source?.['host']) ?? ''].filter(t => t !== '').join(', ');
}

export const coreColumns: Readonly<Record<string, readonly Column[]>> = {
  namespaces: [nameColumn, column('Status', 'Phase of the namespace.', o => asString(at(o, 'status', 'phase')) ?? 'Active'), ageColumn],
  services: [
    nameColumn,
    column('Type', 'How the service is exposed.', o => asString(at(o, 'spec', 'type')) ?? ''),
    column('Cluster-IP', 'Virtual address.', o => asString(at(o, 'spec', 'clusterIP')) || none),
    column('External-IP', 'Addresses for the outside.', externalIps),
    column('Port(s)', 'Ports of the service.', portsText),
    ageColumn,
    wide('Selector', 'Labels of the pods.', o => labelsText(at(o, 'spec', 'selector'))),
  ],
  endpoints: [nameColumn, column('Endpoints', 'Addresses and ports.', endpointsText), ageColumn],
  configmaps: [nameColumn, column('Data', 'Number of keys.', o => String(keyCount(o, 'data', 'binaryData'))), ageColumn],
  secrets: [nameColumn, column('Type', 'Kind of secret.', o => asString(o['type']) ?? ''), column('Data', 'Number of keys.', o => keyCount(o, 'data'), 'integer'), ageColumn],
  serviceaccounts: [nameColumn, column('Secrets', 'Number of secrets.', o => String(asArray(o['secrets']).length)), ageColumn],
  events: [
    column('Last Seen', 'When it last happened.', (o, now) => {
      const time = eventTime(o, 'series.lastObservedTime', 'lastTimestamp', 'deprecatedLastTimestamp', 'eventTime');
      return time ? ageOf(time, now) : unknown;
    }),
    column('Type', 'Normal or Warning.', o => asString(o['type']) ?? ''),
    column('Reason', 'Why, in one word.', o => asString(o['reason']) ?? ''),
    column('Object', 'What it is about.', o => `${(asString(involved(o)['kind']) ?? '').toLowerCase()}/${asString(involved(o)['name']) ?? ''}`),
    wide('Subobject', 'Part of the object.', o => asString(involved(o)['fieldPath']) ?? ''),
    wide('Source', 'Who reports it.', sourceText),
    column('Message', 'What happened.', o => (asString(o['message'] ?? o['note']) ?? '').trim()),
    wide('First Seen', 'When it first happened.', (o, now) => {
      const time = eventTime(o, 'firstTimestamp', 'deprecatedFirstTimestamp', 'eventTime');
      return time ? ageOf(time, now) : unknown;
    }),
    wide('Count', 'How often it happened.', o => String(number(o, 'series', 'count') || number(o, 'count') || number(o, 'deprecatedCount') || 1)),
    { ...nameColumn, priority: 1 },
  ],
  persistentvolumeclaims: [
    nameColumn,
    column('Status', 'State of the claim.', o => asString(at(o, 'status', 'phase')) ?? 'Pending'),
    column('Volume', 'Volume of the claim.', o => asString(at(o, 'spec', 'volumeName')) ?? ''),
    column('Capacity', 'Size of the volume.', o => String(at(o, 'status', 'capacity', 'storage') ?? '')),
    column('Access Modes', 'How it can be mounted.', o => asArray(at(o, 'status', 'accessModes')).join(',')),
    column('StorageClass', 'Storage class.', o => asString(at(o, 'spec', 'storageClassName')) ?? ''),
    column('VolumeAttributesClass', 'Attributes of the volume.', o => asString(at(o, 'spec', 'volumeAttributesClassName')) ?? '<unset>'),
    ageColumn,
    wide('VolumeMode', 'Filesystem or Block.', o => asString(at(o, 'spec', 'volumeMode')) ?? '<unset>'),
  ],
  'coordination.k8s.io/leases': [nameColumn, column('Holder', 'Who holds it.', o => asString(at(o, 'spec', 'holderIdentity')) ?? ''), ageColumn],
  'apiextensions.k8s.io/customresourcedefinitions': [nameColumn, column('Created At', 'When the definition was made.', o => o.metadata.creationTimestamp ?? '')],
  'rbac.authorization.k8s.io/roles': [nameColumn, column('Created At', 'When the role was made.', o => o.metadata.creationTimestamp ?? '')],
  'rbac.authorization.k8s.io/clusterroles': [nameColumn, column('Created At', 'When the role was made.', o => o.metadata.creationTimestamp ?? '')],
  'rbac.authorization.k8s.io/rolebindings': bindingColumns(),
  'rbac.authorization.k8s.io/clusterrolebindings': bindingColumns(),
};

function bindingColumns(): Column[] {
  const subjects = (kind: string) => (o: KubeObject) => asObjects(o['subjects']).filter(s => s['kind'] === kind)
    .map(s => (kind === 'ServiceAccount' ? `${String(s['namespace'] ?? '')}/${String(s['name'])}` : String(s['name']))).join(', ');
  return [
    nameColumn,
    column('Role', 'The role.', o => `${String(at(o, 'roleRef', 'kind'))}/${String(at(o, 'roleRef', 'name'))}`),
    ageColumn,
    wide('Users', 'Users who have it.', subjects('User')),
    wide('Groups', 'Groups who have it.', subjects('Group')),
    wide('ServiceAccounts', 'Service accounts who have it.', subjects('ServiceAccount')),
  ];
}
