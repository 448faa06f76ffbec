import { endpointAddresses, type Endpoint } from '../features/endpoints/endpoint.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeObject, Node, Service } from '../kube/types.ts';
import type { ServiceRow } from '../lb/rows.ts';
import type { Table } from '../table/table.ts';

/** Says on the objects concerned what could not be brought into the kernel, as events: `kubectl describe` shows them. */
export interface Trouble {
  onAddressOrPod(about: { readonly endpoint?: Endpoint; readonly address?: string }, message: string): void;
  onService(row: ServiceRow, error: Error): void;
  /** By `namespace/name`. */
  onServiceKey(key: string, reason: string, message: string): void;
  /** A policy table that was not what was meant. */
  onPolicyDifference(text: string): void;
}

export function createTrouble(options: { readonly nodeName: string }, dependencies: {
  readonly recorder: EventRecorder;
  readonly endpoints: Table<Endpoint>;
  readonly services: Pick<Table<Service>, 'get'>;
  readonly nodes: Pick<Table<Node>, 'get'>;
}): Trouble {
  const { recorder, endpoints, services, nodes } = dependencies;
  const node = () => nodes.get(options.nodeName);
  return {
    onAddressOrPod: (about, message) => {
      const host = about.address?.slice(0, about.address.includes('/') ? about.address.indexOf('/') : undefined);
      const endpoint = about.endpoint ?? [...endpoints.rows()].find(row => host !== undefined && endpointAddresses(row).includes(host));
      if (endpoint && endpoint.podName !== '') {
        return recorder.record(podReference(endpoint), 'Warning', about.address ? 'AddressNotProgrammed' : 'PolicyNotLoaded', `${options.nodeName}: ${message}`);
      }
      const object = node();
      if (!object) return;
      if (about.address === undefined) recorder.record(object, 'Warning', 'PolicyNotLoaded', `policies of the node itself: ${message}`);
      else recorder.record(object, 'Warning', 'AddressNotProgrammed', `${about.address}: ${message}`);
    },
    onPolicyDifference: text => {
      const object = node();
      if (object) recorder.record(object, 'Warning', 'PolicyTableDiffered', `mended: ${text}`);
    },
    onServiceKey: (key, reason, message) => {
      const service = services.get(key);
      if (service) recorder.record(service, 'Warning', reason, `${options.nodeName}: ${message}`);
    },
    onService: (row, error) => {
      const service = services.get(`${row.namespace}/${row.name}`);
      if (service) recorder.record(service, 'Warning', 'ServiceNotProgrammed', `${options.nodeName}: ${row.key}: ${error.message}`);
    },
  };
}

function podReference(endpoint: Endpoint): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name: endpoint.podName, namespace: endpoint.namespace, ...(endpoint.podUid === '' ? {} : { uid: endpoint.podUid }) } };
}
