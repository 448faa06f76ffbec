/** kcat and kafkajs, a broker, and the proxy's loop between them, under seed 05's rules. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { waitFor } from '../../std/async.ts';
import { startProxyRig } from '../testing-rig.ts';
import type { ProxyRig } from '../testing-rig.ts';
import { startTestingBroker } from './testing-broker.ts';
import type { TestingBroker } from './testing-broker.ts';
import { ordersRules } from './testing.ts';

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function kcat(args: readonly string[], input = ''): Promise<Ran> {
  const child = spawn('kcat', args, { timeout: 20_000, killSignal: 'SIGKILL' });
  child.stdin.end(input);
  const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number>(resolve => child.on('close', status => resolve(status ?? -1)))]);
  return { code, stdout, stderr };
}

describe('Kafka clients through the proxy', () => {
  let broker: TestingBroker;
  let proxy: ProxyRig;
  /** Without rules, to fill topics. */
  let open: ProxyRig;
  let advertised = 0;

  before(async () => {
    broker = await startTestingBroker({ advertised: () => ({ host: '127.0.0.1', port: advertised }) });
    proxy = startProxyRig({ protocol: 'kafka', rules: ordersRules }, broker.port);
    open = startProxyRig({ protocol: 'kafka', rules: [{ rule: 1 }] }, broker.port);
    advertised = open.port;
    for (const topic of ['orders.created', 'secrets']) {
      const { code, stderr } = await kcat(['-P', '-b', `127.0.0.1:${open.port}`, '-t', topic], 'one\ntwo\nthree\n');
      assert.equal(code, 0, stderr);
    }
    advertised = proxy.port;
  });
  after(async () => {
    proxy[Symbol.dispose]();
    open[Symbol.dispose]();
    await broker.close();
  });

  const address = () => `127.0.0.1:${proxy.port}`;
  const messages = (topic: string) => (broker.topics.get(topic) ?? []).length;

  test('kcat consumes orders.created and produces orders.processed', async () => {
    assert.deepEqual(await kcat(['-C', '-q', '-b', address(), '-t', 'orders.created', '-o', 'beginning', '-e']), { code: 0, stdout: 'one\ntwo\nthree\n', stderr: '' });
    const produced = await kcat(['-P', '-b', address(), '-t', 'orders.processed'], 'done\n');
    assert.equal(produced.code, 0, produced.stderr);
    assert.equal(messages('orders.processed'), 1);
  });

  test('kcat is told that it may not produce orders.created, or read anything else', async () => {
    const before = messages('orders.created');
    const produced = await kcat(['-P', '-b', address(), '-t', 'orders.created'], 'forged\n');
    assert.match(produced.stderr, /Topic authorization failed/);
    assert.notEqual(produced.code, 0);
    assert.equal(messages('orders.created'), before);
    for (const topic of ['secrets', 'orders.processed']) {
      const read = await kcat(['-C', '-q', '-b', address(), '-t', topic, '-o', 'beginning', '-e']);
      assert.match(read.stderr, /Topic authorization failed/);
      assert.equal(read.stdout, '');
    }
  });

  test('kcat lists the topics of its rules and no other', async () => {
    const { stdout } = await kcat(['-L', '-b', address()]);
    assert.deepEqual([...stdout.matchAll(/topic "([^"]+)"/g)].map(match => match[1]).sort(), ['orders.created', 'orders.processed']);
  });

  test('kcat consumes in a group, and its offsets are kept', async () => {
    const group = ['-q', '-b', address(), '-X', 'auto.offset.reset=earliest', '-X', 'enable.auto.commit=true', '-G', 'kcat-group'];
    const first = await kcat([...group, '-c', '2', 'orders.created']);
    assert.equal(first.stdout, 'one\ntwo\n', first.stderr);
    const second = await kcat([...group, '-c', '1', 'orders.created']);
    assert.equal(second.stdout, 'three\n', second.stderr);
  });

  test('kafkajs produces and consumes in a group; one connection goes on after a refusal', async () => {
    const kafka = new Kafka({ clientId: 'orders', brokers: [address()], logLevel: logLevel.NOTHING, connectionTimeout: 20_000, retry: { retries: 1, initialRetryTime: 50 } });
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
    const consumer = kafka.consumer({ groupId: 'kafkajs-group' });
    try {
      await waitFor('those of kcat to be gone', () => proxy.worker.connections.length === 0);
      await producer.connect();
      await producer.send({ topic: 'orders.processed', messages: [{ value: 'a' }] });
      const from = proxy.records.length;
      await assert.rejects(producer.send({ topic: 'orders.created', messages: [{ value: 'forged' }] }), /[Nn]ot authorized to access topics/);
      await producer.send({ topic: 'orders.processed', messages: [{ value: 'b' }] });
      assert.equal(proxy.worker.connections.length, 1, 'still the first connection');
      const told = proxy.records.slice(from).filter(record => record.l7.kafka?.apiKey === 'produce' && record.l7.type === 'REQUEST');
      assert.deepEqual(told.map(({ verdict, l7 }) => [verdict, l7.kafka!.topic, l7.kafka!.errorCode]), [['DROPPED', 'orders.created', 29], ['FORWARDED', 'orders.processed', undefined]]);
      await consumer.connect();
      await consumer.subscribe({ topic: 'orders.created', fromBeginning: true });
      const values = await new Promise<string[]>((resolve, reject) => {
        const seen: string[] = [];
        consumer.run({ eachMessage: async ({ message }) => void (seen.push(String(message.value)) === 3 && resolve(seen)) }).catch(reject);
      });
      assert.deepEqual(values, ['one', 'two', 'three']);
    } finally {
      await Promise.all([producer.disconnect(), consumer.disconnect()]);
    }
  });
});
