import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { eventually, namespaceYaml, podYaml, seesCheckout, TestCluster } from './cluster.ts';
import type { FlowJson, Finished } from './cluster.ts';

/**
 * Seed 05 word for word: a broker, and order-processors with kcat and kafkajs.
 *
 *   node1: orders/kafka (the small broker of the tests)  orders/near
 *   node2: orders/far (both order-processor)  orders/other
 */
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

const brokerPod = `---
apiVersion: v1
kind: Pod
metadata: { name: kafka, namespace: orders, labels: { app: kafka } }
spec:
  nodeName: node1
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: server
      command: ["${process.execPath}", "${file('l7/kafka-broker-main.ts')}", "9092"]
      ports: [ { containerPort: 9092 } ]
      readinessProbe: { tcpSocket: { port: 9092 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: kafka, namespace: orders }
spec: { selector: { app: kafka }, ports: [ { port: 9092, targetPort: 9092 } ] }
`;

const pods = [
  namespaceYaml('orders'), brokerPod, podYaml('orders', 'near', 'node1', { app: 'order-processor' }), podYaml('orders', 'far', 'node2', { app: 'order-processor' }),
  podYaml('orders', 'other', 'node2', { app: 'other' }),
].join('');

interface KafkaJson {
  readonly verdict: string;
  readonly l7?: { readonly type: string; readonly kafka?: { readonly api_key: string; readonly topic?: string; readonly error_code?: number } };
}

describe('seed 05: Kafka rules in a cluster of two nodes', () => {
  const cluster = new TestCluster('k');
  let broker = '';

  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply(seesCheckout(pods));
    await cluster.podsReady('orders');
    broker = `${(await cluster.kubectl('get', 'pod', 'kafka', '-n', 'orders', '-o', 'jsonpath={.status.podIP}')).stdout}:9092`;
    for (const topic of ['orders.created', 'secrets']) {
      const filled = await kcat('far', `printf 'one\\ntwo\\nthree\\n' | kcat -P -b ${broker} -t ${topic}`);
      assert.equal(filled.code, 0, filled.stderr);
    }
    await cluster.apply('seeds/05-kafka-topics.yaml');
    const waited = await cluster.kubectl('wait', '-n', 'orders', '--for=condition=Enforced', 'cnp/orders-kafka', '--timeout=20s');
    assert.equal(waited.code, 0, waited.stderr + (await cluster.kubectl('get', 'cnp', 'orders-kafka', '-n', 'orders', '-o', 'yaml')).stdout);
  });
  after(() => cluster.stop());

  const kcat = (pod: string, script: string): Promise<Finished> => cluster.cirri('exec', `orders/${pod}`, '--', 'timeout', '20', 'sh', '-c', script);
  const kafkajs = (pod: string, ...args: string[]): Promise<Finished> => cluster.cirri('exec', `orders/${pod}`, '--', 'timeout', '30', process.execPath, file('l7/kafkajs-main.ts'), ...args);

  for (const pod of ['near', 'far']) {
    test(`kcat in ${pod}: consumes orders.created, produces orders.processed, and is told what it may not do`, async () => {
      const consumed = await kcat(pod, `kcat -C -q -b ${broker} -t orders.created -o beginning -e`);
      assert.equal(consumed.stdout, 'one\ntwo\nthree\n', consumed.stderr);
      const produced = await kcat(pod, `echo done | kcat -P -b ${broker} -t orders.processed`);
      assert.equal(produced.code, 0, produced.stderr);
      const forged = await kcat(pod, `echo forged | kcat -P -b ${broker} -t orders.created 2>&1`);
      assert.match(forged.stdout, /Topic authorization failed/);
      const read = await kcat(pod, `kcat -C -q -b ${broker} -t secrets -o beginning -e 2>&1`);
      assert.match(read.stdout, /Topic authorization failed/);
      const listed = await kcat(pod, `kcat -L -b ${broker}`);
      assert.deepEqual([...listed.stdout.matchAll(/topic "([^"]+)"/g)].map(match => match[1]).sort(), ['orders.created', 'orders.processed']);
    });
  }

  test('kafkajs through the service: one connection goes on after a refusal, and a group consumes', async () => {
    const produced = await kafkajs('far', 'kafka.orders:9092', 'orders.processed', 'a', 'orders.created', 'forged', 'orders.processed', 'b');
    assert.match(produced.stdout, /^orders\.processed: ok\norders\.created: .*[Nn]ot authorized.*\norders\.processed: ok\n$/, produced.stdout + produced.stderr);
    const consumed = await kafkajs('near', broker, 'orders.created');
    assert.equal(consumed.stdout, 'one\ntwo\nthree\n', consumed.stderr);
  });

  test('who is not selected does not get to the broker', async () => {
    const { code, stdout } = await kcat('other', `kcat -L -b ${broker} -m 2 2>&1`);
    assert.notEqual(code, 0, stdout);
  });

  test('observe tells of what passed and of what was refused', async () => {
    await eventually('both are told', 20_000, async () => {
      const flows = await cluster.observe('--type', 'l7', '--protocol', 'kafka', '--last', '1000') as (FlowJson & KafkaJson)[];
      const has = (verdict: string, topic: string, key: string) => flows.some(flow => flow.verdict === verdict && flow.l7?.kafka?.topic === topic && flow.l7.kafka.api_key === key);
      const holds = has('FORWARDED', 'orders.created', 'fetch') && has('FORWARDED', 'orders.processed', 'produce') && has('DROPPED', 'orders.created', 'produce') && has('DROPPED', 'secrets', 'metadata');
      return holds ? undefined : JSON.stringify(flows.map(flow => [flow.verdict, flow.l7?.type, flow.l7?.kafka]).slice(-60));
    });
    const { stdout } = await cluster.cirri('observe', '--type', 'l7', '--protocol', 'kafka', '--verdict', 'DROPPED', '--last', '50');
    assert.match(stdout, /produce .*topic 'orders\.created'/);
  });
});
