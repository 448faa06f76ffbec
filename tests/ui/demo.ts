import { namespaceYaml } from '../e2e/cluster.ts';

/**
 * A shop that is always open: real pods that call each other over services, names and denied ways, so that the map has something
 * to show. Callers are one shell each.
 *
 *     web → cart → redis        checkout → gateway → ledger → ledger-db      prometheus → all of shop
 *       └→ catalog → catalog-db     └→ mail                                    mail ⇢ ledger-db (denied)
 */
interface Service { readonly namespace: string; readonly name: string; readonly node: string; readonly kind?: 'StatefulSet'; readonly port: number; readonly calls: readonly string[] }

const services: readonly Service[] = [
  { namespace: 'shop', name: 'web', node: 'node1', port: 8080, calls: ['cart.shop:8080', 'catalog.shop:8080', 'search.shop:8080', 'checkout.shop:8080'] },
  { namespace: 'shop', name: 'cart', node: 'node2', port: 8080, calls: ['redis.shop:6379'] },
  { namespace: 'shop', name: 'catalog', node: 'node1', port: 8080, calls: ['catalog-db.shop:5432'] },
  { namespace: 'shop', name: 'search', node: 'node2', port: 8080, calls: ['catalog-db.shop:5432'] },
  { namespace: 'shop', name: 'checkout', node: 'node1', port: 8080, calls: ['cart.shop:8080', 'gateway.payments:8443', 'mail.shop:2525'] },
  { namespace: 'shop', name: 'mail', node: 'node2', port: 2525, calls: ['ledger-db.payments:5432'] },
  { namespace: 'shop', name: 'redis', node: 'node1', kind: 'StatefulSet', port: 6379, calls: [] },
  { namespace: 'shop', name: 'catalog-db', node: 'node2', kind: 'StatefulSet', port: 5432, calls: [] },
  { namespace: 'payments', name: 'gateway', node: 'node2', port: 8443, calls: ['ledger.payments:8080', 'fraud.payments:9000'] },
  { namespace: 'payments', name: 'ledger', node: 'node1', port: 8080, calls: ['ledger-db.payments:5432'] },
  { namespace: 'payments', name: 'fraud', node: 'node2', port: 9000, calls: [] },
  { namespace: 'payments', name: 'ledger-db', node: 'node1', kind: 'StatefulSet', port: 5432, calls: [] },
  { namespace: 'monitoring', name: 'prometheus', node: 'node1', port: 9090, calls: ['web.shop:8080', 'cart.shop:8080', 'gateway.payments:8443'] },
];

const pauseSeconds = { web: 0.5, prometheus: 2 } as const;

/** Each call is a connection, a line there and a line back. A denied one gives up after a second. */
function caller({ name, calls }: Service): string {
  const each = calls.map(target => {
    const [host, port] = target.split(':');
    return `timeout 1 bash -c 'exec 3<>/dev/tcp/${host}.svc.cluster.local./${port} && echo hello >&3 && head -n 1 <&3' >/dev/null 2>&1`;
  });
  return `while true; do ${each.join('; ')}; sleep ${pauseSeconds[name as keyof typeof pauseSeconds] ?? 1}; done`;
}

function yamlOf(service: Service): string {
  const { namespace, name, node, kind = 'Deployment', port, calls } = service;
  const calling = calls.length === 0 ? '' : `\n        - { name: caller, image: debian, command: ["bash", "-c", ${JSON.stringify(caller(service))}] }`;
  return `---
apiVersion: apps/v1
kind: ${kind}
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ${kind === 'StatefulSet' ? `serviceName: ${name}\n  ` : ''}selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name}, tier: ${kind === 'StatefulSet' ? 'data' : 'app'} } }
    spec:
      nodeName: ${node}
      terminationGracePeriodSeconds: 0
      containers:
        - { name: main, image: cirri/echo, ports: [ { containerPort: ${port} } ] }${calling}
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec: { selector: { app: ${name} }, ports: [ { port: ${port} } ] }
`;
}

const allow = (namespace: string, name: string, from: readonly string[], port: number) => `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  endpointSelector: { matchLabels: { app: ${name} } }
  ingress:
    - fromEndpoints: [ ${from.map(text => `{ matchLabels: { app: ${text.split('.')[0]}${text.includes('.') ? `, "k8s:io.kubernetes.pod.namespace": ${text.split('.')[1]}` : ''} } }`).join(', ')} ]
      toPorts: [ { ports: [ { port: "${port}", protocol: TCP } ] } ]
`;

export const demoNamespaces = ['shop', 'payments', 'monitoring'] as const;

export const demoYaml = [
  ...demoNamespaces.map(namespaceYaml), ...services.map(yamlOf),
  allow('shop', 'redis', ['cart'], 6379), allow('shop', 'catalog-db', ['catalog', 'search'], 5432), allow('payments', 'ledger-db', ['ledger', 'audit'], 5432),
  allow('payments', 'gateway', ['checkout.shop', 'prometheus.monitoring'], 8443),
  // Watched before it is put in force: search would lose its way to the database.
  allow('shop', 'catalog-db', ['catalog'], 5432).replace('name: catalog-db, namespace', 'name: catalog-db-strict, annotations: { policy.cirri.io/mode: shadow }, namespace').replace('ingress:', 'ingressDeny:\n    - fromEndpoints: [ { matchLabels: { app: search } } ]\n  ingress:'),
].join('');
