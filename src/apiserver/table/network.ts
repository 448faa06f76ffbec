import { asArray, asObjects, asString, at } from '../object.ts';
import type { KubeObject } from '../object.ts';
import type { Column } from './column.ts';
import { ageColumn, column, nameColumn, none, selectorText } from './common.ts';
import { shortList } from './core.ts';

function hosts(ingress: KubeObject): string {
  const names = asObjects(at(ingress, 'spec', 'rules')).map(r => asString(r['host']) ?? '').filter(h => h !== '');
  return names.length === 0 ? '*' : shortList(names);
}

function sliceAddresses(slice: KubeObject): string {
  const addresses = asObjects(slice['endpoints']).flatMap(e => asArray(e['addresses']).map(String));
  return addresses.length === 0 ? '<unset>' : shortList(addresses);
}

const slicePorts = (slice: KubeObject) => shortList(asObjects(slice['ports']).map(p => String(p['port'] ?? '*'))).replace(none, '<unset>');

export const networkColumns: Readonly<Record<string, readonly Column[]>> = {
  'discovery.k8s.io/endpointslices': [
    nameColumn, column('AddressType', 'Family of the addresses.', o => asString(o['addressType']) ?? ''), column('Ports', 'Ports of every endpoint.', slicePorts),
    column('Endpoints', 'Addresses.', sliceAddresses), ageColumn,
  ],
  'networking.k8s.io/networkpolicies': [nameColumn, column('Pod-Selector', 'Pods that it is about.', o => selectorText(at(o, 'spec', 'podSelector'))), ageColumn],
  'networking.k8s.io/ingresses': [
    nameColumn, column('Class', 'Class that serves it.', o => asString(at(o, 'spec', 'ingressClassName')) ?? none), column('Hosts', 'Hosts.', hosts),
    column('Address', 'Points of entry.', o => asObjects(at(o, 'status', 'loadBalancer', 'ingress')).map(i => asString(i['ip']) ?? asString(i['hostname']) ?? '').join(',')),
    column('Ports', 'Ports.', o => (asArray(at(o, 'spec', 'tls')).length > 0 ? '80, 443' : '80')), ageColumn,
  ],
  'networking.k8s.io/ingressclasses': [
    nameColumn, column('Controller', 'Controller that serves it.', o => asString(at(o, 'spec', 'controller')) ?? ''),
    column('Parameters', 'Its parameters.', o => {
      const kind = asString(at(o, 'spec', 'parameters', 'kind'));
      const group = asString(at(o, 'spec', 'parameters', 'apiGroup'));
      return kind ? `${kind}${group ? `.${group}` : ''}/${String(at(o, 'spec', 'parameters', 'name') ?? '')}` : none;
    }),
    ageColumn,
  ],
};
