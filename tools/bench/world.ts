/**
 * The objects of the benchmark's cluster: the harness's services as Service and EndpointSlice, two measured pods that policy
 * isolates both ways, and some hundred other identities and policies, so that policy is on and not a formality.
 */
import { readFileSync } from 'node:fs';
import type { Endpoint } from '../../src/features/endpoints/endpoint.ts';
import type { Identity } from '../../src/features/identities/allocate.ts';
import type { EndpointSlice, KubeObject, Service } from '../../src/kube/types.ts';
import { identityLabels } from '../../src/model/identity.ts';

export const clusterName = 'default';
const namespace = 'bench';
const others = 300;

export interface ServiceObjects {
  readonly service: Service;
  readonly slice: EndpointSlice;
}

/** One line of the harness's service list: `vip port endpoint endpoint endpoint`. The address is the service's name. */
export function serviceObjects(line: string): ServiceObjects {
  const [vip = '', port = '', ...endpoints] = line.split(' ');
  const name = `svc-${vip.replaceAll('.', '-')}`;
  const backendPort = Number(endpoints[0]?.split(':')[1]);
  return {
    service: {
      apiVersion: 'v1', kind: 'Service', metadata: { name, namespace },
      spec: { type: 'ClusterIP', clusterIP: vip, clusterIPs: [vip], ports: [{ name: 'http', port: Number(port), protocol: 'TCP', targetPort: backendPort }] },
    } as unknown as Service,
    slice: {
      apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice',
      metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: backendPort, protocol: 'TCP' }],
      endpoints: endpoints.map(endpoint => ({ addresses: [endpoint.split(':')[0] ?? ''], conditions: { ready: true } })),
    } as unknown as EndpointSlice,
  };
}

export function readServices(path: string): ServiceObjects[] {
  return readFileSync(path, 'utf8').split('\n').filter(line => line.trim() !== '').map(serviceObjects);
}

/** The last service's first endpoint: `10.96.0.11:80/TCP` and `10.244.16.30:8080/TCP` of the objects' rows. */
export function rowKeys({ service, slice }: ServiceObjects): { readonly row: string; readonly backends: readonly string[] } {
  const port = service.spec?.ports?.[0];
  return {
    row: `${service.spec?.clusterIP}:${port?.port}/TCP`,
    backends: (slice.endpoints ?? []).map(endpoint => `${endpoint.addresses[0]}:${slice.ports?.[0]?.port}/TCP`).sort(),
  };
}

function labelsOf(app: string) {
  return identityLabels({ namespace, labels: { app, tier: `tier-${app.length % 7}` }, serviceAccount: 'default' }, {}, clusterName);
}

const identityNumbers = new Map([['client', 1000], ['server', 1001], ...Array.from({ length: others }, (_, i) => [`other-${i}`, 2000 + i] as const)]);

export function identities(): Identity[] {
  return [...identityNumbers].map(([app, id]) => ({ id, labels: labelsOf(app) }));
}

/**
 * Default deny both ways: the client may reach the server on 8080, the server takes it from the client. Each of the two also has
 * a hundred rules about others, and two hundred policies are about pods that live elsewhere.
 */
export function policies(): KubeObject[] {
  const policy = (name: string, app: string, rules: object): KubeObject =>
    ({ apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace }, spec: { endpointSelector: { matchLabels: { app } }, ...rules } });
  const port = (number: number) => [{ ports: [{ port: String(number), protocol: 'TCP' }] }];
  const of = (app: string) => [{ matchLabels: { app } }];
  const list = [
    policy('client', 'client', { ingress: [], egress: [{ toEndpoints: of('server'), toPorts: port(8080) }] }),
    policy('server', 'server', { ingress: [{ fromEndpoints: of('client') }], egress: [] }),
    policy('client-no-ingress', 'client', { ingress: [{ fromEndpoints: of('other-0'), toPorts: port(9) }] }),
    policy('server-no-egress', 'server', { egress: [{ toEndpoints: of('other-0'), toPorts: port(9) }] }),
  ];
  for (let i = 0; i < 100; i++) {
    list.push(policy(`client-to-${i}`, 'client', { egress: [{ toEndpoints: of(`other-${i}`), toPorts: port(1000 + i) }] }));
    list.push(policy(`server-from-${i}`, 'server', { ingress: [{ fromEndpoints: of(`other-${i}`), toPorts: port(1000 + i) }], ingressDeny: [{ fromEndpoints: of(`other-${(i + 150) % others}`) }] }));
    list.push(policy(`other-${i}-from`, `other-${i}`, { ingress: [{ fromEndpoints: of(`other-${i + 1}`), toPorts: port(80) }] }));
    list.push(policy(`other-${i}-to`, `other-${i}`, { egress: [{ toEndpoints: of(`other-${i + 1}`) }] }));
  }
  return list;
}

/** A pod's end as CNI ADD would have made it. */
export function endpoint(id: number, app: 'client' | 'server', ipv4: string, netns: string, device: Pick<Endpoint, 'hostInterface' | 'ifindex' | 'mac' | 'hostMac'>): Endpoint {
  return {
    id, containerId: `bench-${id}`, interfaceName: 'eth0', netns, namespace, podName: `${app}-${id}`, podUid: '', ...device, ipv4,
    labels: labelsOf(app).array, identity: identityNumbers.get(app) ?? 0, namedPorts: [], createdAt: new Date(0).toISOString(),
  };
}
