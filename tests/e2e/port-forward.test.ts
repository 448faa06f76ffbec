/** @cluster: kubectl port-forward, through a WebSocket and by itself, into real pods. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

const cluster = new TestCluster('w');

const server = `---
apiVersion: v1
kind: Pod
metadata: { name: lines, namespace: fwd, labels: { app: lines } }
spec:
  nodeName: node2
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: busybox
      command: [/bin/sh, -c, "exec python3 -c 'import socket,threading\\ns=socket.socket();s.setsockopt(1,2,1);s.bind((\\"127.0.0.1\\",9000));s.listen()\\ndef f(c):\\n  n=0\\n  while True:\\n    d=c.recv(65536)\\n    if not d: break\\n    n+=len(d)\\n  c.sendall(str(n).encode());c.close()\\nwhile True: threading.Thread(target=f,args=(s.accept()[0],)).start()'"]
---
apiVersion: v1
kind: Service
metadata: { name: echo, namespace: fwd }
spec: { selector: { app: echo }, ports: [{ name: web, port: 80, targetPort: 8080 }] }
`;

/** kubectl port-forward until `stop`; `port` is where it listens. */
async function forward(target: string, port: number, env: Readonly<Record<string, string>>, namespace = 'fwd') {
  const child = spawn('kubectl', ['--kubeconfig', cluster.paths.kubeconfig, 'port-forward', '-n', namespace, target, `:${port}`], { env: { ...cluster.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const errors: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => errors.push(String(chunk)));
  const exited = once(child, 'close');
  const lines = createInterface({ input: child.stdout });
  const [text] = await Promise.race([once(lines, 'line') as Promise<string[]>, exited.then(() => [`exited: ${errors.join('')}`])]);
  const local = Number(/Forwarding from 127\.0\.0\.1:(\d+) /.exec(text ?? '')?.[1]);
  assert.ok(local > 0, text);
  return { port: local, errors, exited, stop: async () => void (child.kill('SIGINT'), await exited) };
}

/** Sends, ends, and gives what came back. */
async function exchange(port: number, sent: Buffer | string): Promise<string> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.end(sent);
  const got: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) got.push(chunk);
  return Buffer.concat(got).toString('utf8');
}

const http = 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

before(async () => {
  await cluster.start('--nodes', '2', '--no-demo');
  await cluster.apply(namespaceYaml('fwd') + podYaml('fwd', 'echo', 'node1', { app: 'echo' }, 8080) + server);
  await cluster.podsReady('fwd');
});
after(() => cluster.stop());

for (const [name, env] of [['a WebSocket', {}], ['SPDY alone', { KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' }]] as const) {
  describe(`kubectl port-forward over ${name}`, () => {
    test('a service of a pod answers', async () => {
      const forwarded = await forward('svc/echo', 80, env);
      for (let i = 0; i < 3; i++) assert.match(await exchange(forwarded.port, http), /^HTTP\/1\.1 200/);
      await forwarded.stop();
    });

    test('megabytes of several connections at once arrive whole, at a server that listens on the pod\'s loopback only', async () => {
      const forwarded = await forward('pod/lines', 9000, env);
      const sizes = [1, 100_000, 3_000_000, 5_000_000];
      const counted = await Promise.all(sizes.map(size => exchange(forwarded.port, Buffer.alloc(size, 'x'))));
      assert.deepEqual(counted.map(Number), sizes);
      await forwarded.stop();
    });

    test('a port where nobody listens is told in words; kubectl gives up then', async () => {
      const forwarded = await forward('pod/lines', 9001, env);
      await exchange(forwarded.port, 'x').catch((error: NodeJS.ErrnoException) => assert.match(error.code ?? '', /^(?:ECONNRESET|EPIPE|ENOTCONN)$/));
      await forwarded.exited;
      assert.match(forwarded.errors.join(''), /error forwarding port 9001 to pod fwd\/lines: .*ECONNREFUSED/);
    });
  });
}

describe('what upstream runs as pods', () => {
  test('is there to be forwarded to: the relay answers a hubble client, the web UI a browser', async () => {
    await eventually('the mirror pods are ready', 20_000, async () => {
      const { stdout } = await cluster.kubectl('get', 'pods', '-n', 'kube-system', 'hubble-relay', 'hubble-ui', '-o', 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}');
      return stdout.trim() === 'True True' ? undefined : stdout;
    });
    const relay = await forward('svc/hubble-relay', 80, {}, 'kube-system');
    await eventually('the relay has found both nodes', 20_000, async () => {
      const status = await cluster.cirri('hubble', 'status', '--server', `localhost:${relay.port}`);
      return /Connected Nodes: 2\/2/.test(status.stdout) ? undefined : status.stdout + status.stderr;
    });
    await relay.stop();
    const ui = await forward('svc/hubble-ui', 80, {}, 'kube-system');
    assert.match(await exchange(ui.port, `GET / HTTP/1.1\r\nHost: localhost:${ui.port}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 200 /);
    await ui.stop();
  });

  test('is reached from pods by its service: the page for everybody, flows for who has a token', async () => {
    const get = async (path: string, ...headers: string[]) => {
      const lines = [`GET ${path} HTTP/1.1`, 'Host: hubble-ui.kube-system', 'Connection: close', ...headers].map(line => `${line}\\r\\n`).join('');
      const { stdout } = await cluster.cirri('exec', 'fwd/lines', '--', 'bash', '-c', `exec 3<>/dev/tcp/hubble-ui.kube-system/80; printf '${lines}\\r\\n' >&3; head -1 <&3`);
      return stdout.trim();
    };
    assert.equal(await get('/'), 'HTTP/1.1 200 OK');
    assert.match(await get('/api/session'), /^HTTP\/1\.1 401 /);
    const token = (await cluster.cirri('hubble', 'token', 'create', 'pod')).stdout.trim();
    assert.equal(await get('/api/session', `Authorization: Bearer ${token}`), 'HTTP/1.1 200 OK');
  });

  test('says so when the process is gone, and is no pod to the scheduler or a kubelet', async () => {
    const off = await cluster.cirri('config', 'set', 'hubble.relay.enabled=false');
    assert.equal(off.code, 0, off.stderr);
    await eventually('the mirrors are gone', 20_000, async () => {
      const { stdout } = await cluster.kubectl('get', 'pods,svc', '-n', 'kube-system', '-o', 'name');
      return /hubble-(relay|ui)/.test(stdout) ? stdout : undefined;
    });
  });
});
