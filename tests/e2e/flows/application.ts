import { namespaceYaml } from '../cluster.ts';
import { outside } from '../outside.ts';

/**
 * The demo application: ten services over two nodes and three namespaces, with the policies that some of them have.
 *
 *   shop (node1): web cart search          shop (node2): catalog checkout
 *   pay  (node1): ledger                   pay  (node2): payments fraud
 *   ops  (node1): mail                     ops  (node2): metrics
 */
export const services = [
  { namespace: 'shop', name: 'web', node: 'node1' }, { namespace: 'shop', name: 'cart', node: 'node1' }, { namespace: 'shop', name: 'search', node: 'node1' },
  { namespace: 'shop', name: 'catalog', node: 'node2' }, { namespace: 'shop', name: 'checkout', node: 'node2' },
  { namespace: 'pay', name: 'ledger', node: 'node1' }, { namespace: 'pay', name: 'payments', node: 'node2' }, { namespace: 'pay', name: 'fraud', node: 'node2' },
  { namespace: 'ops', name: 'mail', node: 'node1' }, { namespace: 'ops', name: 'metrics', node: 'node2' },
] as const;

export const podPort = 8080;
export const servicePort = 80;
/** Nobody listens there. */
export const closedPort = 8081;
/** A name of the cluster for an address outside of it. */
export const bank = { host: 'bank.pay.svc.cluster.local', port: 8443, address: outside.wide4 } as const;

const deployment = ({ namespace, name, node }: (typeof services)[number]) => `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec:
      nodeName: ${node}
      terminationGracePeriodSeconds: 0
      containers: [ { name: main, image: cirri/echo, ports: [ { containerPort: ${podPort} }, { containerPort: ${podPort}, protocol: UDP } ] } ]
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  selector: { app: ${name} }
  ports: [ { name: tcp, port: ${servicePort}, targetPort: ${podPort} }, { name: udp, port: ${servicePort}, targetPort: ${podPort}, protocol: UDP } ]
`;

const bankService = `---
apiVersion: v1
kind: Service
metadata: { name: bank, namespace: pay }
spec: { clusterIP: None, ports: [ { port: ${bank.port} } ] }
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: { name: bank-1, namespace: pay, labels: { kubernetes.io/service-name: bank } }
addressType: IPv4
ports: [ { name: "", port: ${bank.port}, protocol: TCP } ]
endpoints: [ { addresses: [ ${bank.address} ], conditions: { ready: true } } ]
`;

/** Who may call payments; two policies for fraud, so that its default denial has two names; a deny rule at the other end. */
export const policies = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: payments-callers, namespace: pay }
spec:
  endpointSelector: { matchLabels: { app: payments } }
  ingress: [ { fromEndpoints: [ { matchLabels: { app: checkout, k8s:io.kubernetes.pod.namespace: shop } } ], toPorts: [ { ports: [ { port: "${podPort}", protocol: TCP } ] } ] } ]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: fraud-one, namespace: pay }
spec:
  podSelector: { matchLabels: { app: fraud } }
  ingress: [ { from: [ { podSelector: { matchLabels: { app: payments } } } ] } ]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: fraud-two, namespace: pay }
spec:
  endpointSelector: { matchLabels: { app: fraud } }
  ingress: [ { fromEndpoints: [ { matchLabels: { app: ledger } } ] } ]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: search-reads-no-carts, namespace: shop }
spec:
  endpointSelector: { matchLabels: { app: search } }
  egress: [ { toEntities: [ all ] } ]
  egressDeny: [ { toEndpoints: [ { matchLabels: { app: cart } } ] } ]
`;

export const manifest = [...['shop', 'pay', 'ops'].map(namespaceYaml), ...services.map(deployment), bankService].join('');

export interface Call {
  readonly kind: 'tcp' | 'udp' | 'icmp' | 'dns';
  /** An address; for `dns` that of the server. */
  readonly to: string;
  readonly port?: number;
  /** Of `dns`: what is asked for. */
  readonly name?: string;
}

export interface Called {
  readonly outcome: 'answered' | 'refused' | 'silent';
  /** The client's own port; of `icmp` the identifier. */
  readonly ownPort: number;
  readonly sent: number;
  readonly received: number;
  readonly rcode?: number;
  readonly ips?: readonly string[];
}

/**
 * Runs in a pod: makes the calls in turn, each once (half a second is less than the time to the second SYN), and says how they went. No port of its
 * own comes twice, nor one of those it is told: the same connection again leaves other flows.
 */
export const caller = `
import json, os, socket, struct, sys, time
family = lambda c: socket.AF_INET6 if ':' in c['to'] else socket.AF_INET
used = set(json.loads(sys.argv[2]))
def bound(c, kind):
    while True:
        s = socket.socket(family(c), kind); s.bind(('', 0)); own = s.getsockname()[1]
        if own not in used: used.add(own); return s, own
        s.close()
def tcp(c):
    s, own = bound(c, socket.SOCK_STREAM); s.settimeout(0.5)
    ask = b'GET / HTTP/1.1\\r\\nHost: demo\\r\\nConnection: close\\r\\n\\r\\n'; got = b''
    try:
        s.connect((c['to'], c['port'])); s.settimeout(10); s.sendall(ask)
        while True:
            more = s.recv(65536)
            if not more: break
            got += more
        s.close()
        return dict(outcome='answered', ownPort=own, sent=len(ask), received=len(got))
    except ConnectionRefusedError: s.close(); return dict(outcome='refused', ownPort=own, sent=0, received=0)
    except TimeoutError: s.close(); return dict(outcome='silent', ownPort=own, sent=0, received=0)
def udp(c, body=b'ping'):
    s, own = bound(c, socket.SOCK_DGRAM); s.settimeout(2)
    try:
        s.connect((c['to'], c['port'])); s.send(body); got = s.recv(65536)
        return dict(outcome='answered', ownPort=own, sent=len(body), received=len(got)), got
    except ConnectionRefusedError: return dict(outcome='refused', ownPort=own, sent=len(body), received=0), b''
    except TimeoutError: return dict(outcome='silent', ownPort=own, sent=len(body), received=0), b''
    finally: s.close()
def icmp(c):
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP); s.settimeout(2); own = (os.getpid() * 7 + int(time.time() * 1000)) & 0xffff or 1
    while own in used: own = own % 0xffff + 1
    used.add(own)
    body = struct.pack('!BBHHH', 8, 0, 0, own, 1) + b'demo'; total = sum(struct.unpack('!6H', body)); total = (total & 0xffff) + (total >> 16)
    s.sendto(body[:2] + struct.pack('!H', ~(total + (total >> 16)) & 0xffff) + body[4:], (c['to'], 0)); end = time.monotonic() + 2
    while time.monotonic() < end:
        try: got = s.recv(2048)
        except TimeoutError: break
        if got[20] == 0 and struct.unpack('!H', got[24:26])[0] == own: return dict(outcome='answered', ownPort=own, sent=len(body), received=len(got) - 20)
    return dict(outcome='silent', ownPort=own, sent=len(body), received=0)
def dns(c):
    body = struct.pack('!6H', os.getpid() & 0xffff, 0x0100, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l in c['name'].split('.')) + b'\\0' + struct.pack('!2H', 1, 1)
    said, got = udp(dict(to=c['to'], port=53), body)
    if got:
        said['rcode'] = got[3] & 15; said['ips'] = ['.'.join(map(str, got[-4:]))] if struct.unpack('!H', got[6:8])[0] else []
    return said
for c in json.loads(sys.argv[1]):
    said = dict(tcp=tcp, udp=lambda c: udp(c)[0], icmp=icmp, dns=dns)[c['kind']](c)
    print(json.dumps(said), flush=True)
`;

/** Runs outside: answers whoever connects, once each. */
export const listener = `
import socket
s = socket.create_server(('${outside.wide4}', ${bank.port})); print('listens', flush=True)
while True:
    c, _ = s.accept(); c.settimeout(2)
    try: c.recv(4096); c.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 0\\r\\n\\r\\n'); c.shutdown(1); c.recv(4096)
    except OSError: pass
    c.close()
`;
