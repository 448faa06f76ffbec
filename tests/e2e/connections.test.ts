import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { namespaceYaml, podYaml, TestCluster, type ProbeEntry } from './cluster.ts';

/**
 * What becomes of connections that are there when policies change, and of the nodes' own:
 *
 *   node1: client ═══ one connection, all the time ═══► server :node2
 */
const port = 8080;
const pods = [namespaceYaml('life'), podYaml('life', 'client', 'node1', { app: 'client' }), podYaml('life', 'server', 'node2', { app: 'server' }, port)].join('');

const cut = (annotations: object) => `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: { name: cut, namespace: life, annotations: ${JSON.stringify(annotations)} }
spec:
  endpointSelector: { matchLabels: { app: server } }
  ingressDeny: [ { fromEndpoints: [ {} ] } ]
`;

const nodePolicy = `
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: { name: nodes }
spec:
  nodeSelector: {}
  ingress: [ { fromEntities: [ kube-apiserver ] } ]
`;

/** Asks over one connection again and again; a line for each answer, and for each time without. */
const talker = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], ${port}), 5); s.settimeout(1)
while True:
    try:
        s.sendall(b'GET / HTTP/1.1\\r\\nHost: life\\r\\n\\r\\n'); print('answer' if s.recv(4096) else 'end', flush=True)
    except Exception as e: print('nothing', flush=True)
    time.sleep(0.2)
`;

class Talk {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #wake = () => {};

  constructor(cluster: TestCluster, address: string) {
    this.#child = spawn(fileURLToPath(new URL('../../cirri', import.meta.url)), ['exec', 'life/client', '--', 'python3', '-c', talker, address], { env: cluster.env, stdio: ['ignore', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.#lines.push(line);
      this.#wake();
    });
  }

  /** The next lines from now on are these, one after the other. */
  async hears(word: string, times: number, timeoutMs = 40_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    this.#lines.length = 0;
    while (!(this.#lines.length >= times && this.#lines.slice(-times).every(line => line === word))) {
      const left = deadline - performance.now();
      if (left <= 0) assert.fail(`not ${times} times "${word}" in ${timeoutMs} ms: ${this.#lines.slice(-10).join(', ')}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

describe('connections and policies that change under them', () => {
  const cluster = new TestCluster('l');
  let talk: Talk;
  const addresses = new Map<string, string>();
  const fresh = (expect: NonNullable<ProbeEntry['expect']>): ProbeEntry => ({ from: 'life/client', to: 'life/server', port, expect });

  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply(pods);
    await cluster.podsReady('life');
    const read = async (kind: string, address: (object: { status: { podIP?: string; addresses?: { type: string; address: string }[] } }) => string, ...flags: string[]) => {
      const got = JSON.parse((await cluster.cirri('get', kind, ...flags, '-o', 'json')).stdout) as { items: { metadata: { name: string }; status: never }[] };
      for (const item of got.items) addresses.set(item.metadata.name, address(item));
    };
    await read('pods', pod => pod.status.podIP!, '-n', 'life');
    await read('nodes', node => node.status.addresses!.find(each => each.type === 'InternalIP')!.address);
    talk = new Talk(cluster, addresses.get('server')!);
    await talk.hears('answer', 2);
  });
  after(async () => {
    talk?.stop();
    await cluster.stop();
  });

  test('keep: the connection goes on, new ones are denied', () => cluster.with(cut({ 'policy.cirri.io/established': 'keep' }), [], async () => {
    await cluster.expectAll([fresh('denied')]);
    await talk.hears('answer', 5);
  }));

  test('else it ends at once, told with its rule, and lives again when it may', async () => {
    await cluster.with(cut({}), [], async () => {
      await cluster.expectAll([fresh('denied')]);
      await talk.hears('nothing', 3);
      const drops = await cluster.observe('--verdict', 'DROPPED', '--all');
      assert.ok(drops.some(flow => flow.source.pod_name === 'client' && flow.ingress_denied_by?.[0]?.name === 'cut'), 'a drop in the connection names the policy');
    });
    await cluster.expectAll([fresh('allowed')]);
    await talk.hears('answer', 2);
  });

  test('in shadow it denies nothing, and is told beside what is', () => cluster.with(cut({ 'policy.cirri.io/mode': 'shadow' }), [], async () => {
    const follow = cluster.follow('--type', 'policy-verdict');
    try {
      await talk.hears('answer', 2);
      await cluster.expectAll([fresh('allowed')]);
      const told = await follow.next(flow => flow.verdict === 'TRACED' && flow.destination.pod_name === 'server', 20_000) as unknown as { readonly cirri: { readonly shadow: string; readonly rule: { readonly name: string } } };
      assert.deepEqual([told.cirri.shadow, told.cirri.rule.name], ['SHADOW_DENY', 'cut']);
    } finally {
      follow.stop();
    }
  }));

  test('policies for nodes: other nodes and pods are denied, and the cluster goes on', async () => {
    const [node1, node2] = ['node1', 'node2'].map(name => addresses.get(name)!) as [string, string];
    // Nobody listens there: what passes is refused.
    const knocks = (expect: NonNullable<ProbeEntry['expect']>, masqueraded = expect): ProbeEntry[] => [
      { from: 'node2', to: node1, port: 9, expect }, { from: 'life/client', to: node1, port: 9, expect }, { from: 'life/client', to: node2, port: 9, expect: masqueraded },
    ];
    const goesOn: ProbeEntry[] = [fresh('allowed'), { from: 'node2', to: 'life/server', port, expect: 'allowed' }, { from: 'life/client', to: 'kubernetes.default.svc.cluster.local', port: 443, expect: 'allowed' }];
    await cluster.expectAll([...knocks('refused'), ...goesOn]);
    await cluster.with(nodePolicy, [], async () => {
      // To another node's address a pod comes as its own node: the drop is told of that, and the probe finds none of its own.
      await cluster.expectAll([...knocks('denied', 'timed-out'), ...goesOn]);
      await talk.hears('answer', 2);
      const status = await cluster.cirri('status');
      assert.equal(status.code, 0, status.stdout);
    });
    await cluster.expectAll(knocks('refused'));
  });
});
