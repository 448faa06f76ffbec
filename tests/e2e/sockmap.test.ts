import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

/**
 * One connection between two pods of a node, through a service, with sockmap.enabled: which way its answers come while agents, settings
 * and policies change under it.
 */
const port = 8080;
const service = '10.96.0.77';
const objects = [
  namespaceYaml('fast'), podYaml('fast', 'client', 'node1', { app: 'client' }), podYaml('fast', 'server', 'node1', { app: 'server' }, port),
  `---\napiVersion: v1\nkind: Service\nmetadata: { name: server, namespace: fast }\nspec: { selector: { app: server }, clusterIP: ${service}, ports: [ { port: 80, targetPort: ${port} } ] }\n`,
].join('');

const cut = `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cut, namespace: fast }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingressDeny: [ { fromEndpoints: [ {} ] } ]
`;

/** What came through the stack is in tcpi_bytes_received. */
const talker = `
import socket, struct, time
def through_stack(): return struct.unpack_from('Q', s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 128)[0]
while True:
    try: s = socket.create_connection(('${service}', 80), 5); break
    except OSError: time.sleep(0.2)
s.settimeout(3)
while True:
    try:
        before = through_stack(); s.sendall(b'GET / HTTP/1.1\\r\\nHost: fast\\r\\n\\r\\n'); answer = s.recv(4096)
        print('end' if not answer else 'direct' if through_stack() == before else 'stack', flush=True)
    except Exception as e: print('nothing', flush=True)
    time.sleep(0.05)
`;

describe('socket to socket in a cluster', () => {
  const cluster = new TestCluster('k');
  const lines: string[] = [];
  let wake = () => {};
  let talk: ChildProcess | undefined;

  /** The next lines, from now on, end with these; gives all of them. */
  async function hears(word: string, times: number, timeoutMs = 40_000): Promise<string[]> {
    const deadline = performance.now() + timeoutMs;
    lines.length = 0;
    while (!(lines.length >= times && lines.slice(-times).every(line => line === word))) {
      const left = deadline - performance.now();
      if (left <= 0) assert.fail(`not ${times} times "${word}" in ${timeoutMs} ms: ${lines.slice(-10).join(', ')}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return [...lines];
  }

  before(async () => {
    await cluster.start('--no-demo', '--set', 'sockmap.enabled=true');
    await cluster.apply(objects);
    await cluster.podsReady('fast');
    talk = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', 'fast/client', '--', 'python3', '-c', talker], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: talk.stdout! }).on('line', line => {
      lines.push(line);
      wake();
    });
  });
  after(async () => {
    talk?.kill('SIGKILL');
    await cluster.stop();
  });

  test('a connection through a service goes from socket to socket, and the status says that it can', async () => {
    await hears('direct', 5);
    const status = await cluster.cirri('status', '-v');
    assert.match(status.stdout, /on\s+SocketToSocket/);
  });

  test('a policy that denies it ends it at once, and when it may again it goes on', async () => {
    await cluster.with(cut, [], async () => {
      await hears('nothing', 3);
    });
    await hears('direct', 5);
  });

  test('the agent killed with -9: the path goes on without it, and with the next one', async () => {
    const agent = cluster.pidOf('agent-node1');
    process.kill(agent, 'SIGKILL');
    // The agent that comes commits, and then the stack carries a message.
    const heard = await hears('direct', 60);
    assert.deepEqual(heard.filter(line => line !== 'direct' && line !== 'stack'), []);
    await eventually('the next one is there', 20_000, async () => (cluster.pidOf('agent-node1') === agent ? 'not yet' : undefined));
    await hears('direct', 5);
  });

  test('switched off, the same connection goes by the stack; switched on, from socket to socket again', async () => {
    const set = async (value: boolean): Promise<void> => {
      const { code, stderr } = await cluster.cirri('config', 'set', `sockmap.enabled=${value}`);
      assert.equal(code, 0, stderr);
    };
    const whileOff = hears('stack', 10);
    await set(false);
    assert.deepEqual((await whileOff).filter(line => line !== 'direct' && line !== 'stack'), []);
    await hears('stack', 5);
    await set(true);
    const heard = await hears('direct', 5);
    assert.deepEqual(heard.filter(line => line !== 'direct' && line !== 'stack'), []);
  });
});
