/**
 * Apache Kafka's broker and its own client, kcat and kafkajs, with the proxy between them under seed 05. Only with --long: it fetches Apache
 * Kafka with Maven into .cache and needs a JDK.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ordersRules } from '../../src/proxy/kafka/testing.ts';
import { startProgram, startProxyRig } from '../../src/proxy/testing-rig.ts';
import { freePort } from '../../src/std/testing-port.ts';
import type { ProxyRig } from '../../src/proxy/testing-rig.ts';

const run = promisify(execFile);
const version = '3.9.1';
const jars = fileURLToPath(new URL(`../../.cache/kafka-${version}`, import.meta.url));
const client = fileURLToPath(new URL('KafkaClient.java', import.meta.url));

async function fetchKafka(): Promise<void> {
  if (existsSync(join(jars, `kafka_2.13-${version}.jar`))) return;
  const folder = mkdtempSync(join(tmpdir(), 'cirri-kafka-'));
  writeFileSync(join(folder, 'pom.xml'), `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>cirri</groupId><artifactId>interop</artifactId><version>1</version>
    <dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency></dependencies></project>`);
  try {
    mkdirSync(jars, { recursive: true });
    await run('mvn', ['-q', '-B', 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`], { cwd: folder, timeout: 400_000 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('Apache Kafka through the proxy', { skip: process.env['CIRRI_LONG'] ? false : 'with --long only' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-broker-'));
  let broker: AsyncDisposable;
  let proxy: ProxyRig;
  let direct = '';

  before(async () => {
    await fetchKafka();
    const [port, controller, outside] = [await freePort(), await freePort(), await freePort()];
    writeFileSync(join(folder, 'server.properties'), `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controller}
listeners=PROXIED://127.0.0.1:${port},DIRECT://127.0.0.1:${outside},CONTROLLER://127.0.0.1:${controller}
advertised.listeners=PROXIED://127.0.0.1:PROXY,DIRECT://127.0.0.1:${outside}
inter.broker.listener.name=DIRECT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,DIRECT:PLAINTEXT
log.dirs=${folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
`.replace('PROXY', String((proxy = startProxyRig({ protocol: 'kafka', rules: ordersRules }, port)).port)));
    await run('java', ['-cp', `${jars}/*`, 'kafka.tools.StorageTool', 'format', '-t', 'MkU3OEVBNTcwNTJENDM2Qg', '-c', 'server.properties'], { cwd: folder });
    broker = await startProgram('java', ['-Xmx384m', '-cp', `${jars}/*`, 'kafka.Kafka', 'server.properties'], port, { cwd: folder });
    direct = `127.0.0.1:${outside}`;
    for (const topic of ['orders.created', 'orders.processed', 'secrets']) await kcat(`printf 'one\\ntwo\\nthree\\n' | kcat -P -b ${direct} -t ${topic}`);
  });
  after(async () => {
    await broker?.[Symbol.asyncDispose]();
    proxy?.[Symbol.dispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const kcat = async (script: string) => await run('sh', ['-c', script], { timeout: 30_000 });
  const address = () => `127.0.0.1:${proxy.port}`;
  const java = async (...args: string[]) => (await run('java', ['-cp', `${jars}/*`, client, address(), ...args], { timeout: 90_000 })).stdout.trim().split('\n');

  test('kcat: consumes, produces, is refused, and consumes in a group', async () => {
    assert.equal((await kcat(`kcat -C -q -b ${address()} -t orders.created -o beginning -e`)).stdout, 'one\ntwo\nthree\n');
    await kcat(`echo done | kcat -P -b ${address()} -t orders.processed -X enable.idempotence=true`);
    assert.match((await kcat(`echo forged | kcat -P -b ${address()} -t orders.created 2>&1 || true`)).stdout, /Topic authorization failed/);
    assert.equal((await kcat(`kcat -q -b ${address()} -X auto.offset.reset=earliest -G group -c 3 orders.created`)).stdout, 'one\ntwo\nthree\n');
    assert.equal((await kcat(`kcat -C -q -b ${direct} -t orders.created -o beginning -e`)).stdout, 'one\ntwo\nthree\n', 'the broker has nothing forged');
  });

  test('Apache Kafka\'s client, which would use topic ids: an idempotent producer, and the connection goes on after a refusal', async () => {
    assert.deepEqual(await java('produce', 'orders.processed', 'orders.created'), ['orders.processed: ok', 'orders.created: TopicAuthorizationException', 'orders.processed: ok']);
    assert.ok(proxy.records.some(({ l7 }) => l7.kafka?.apiKey === 'initproducerid'));
  });

  test('Apache Kafka\'s client: a transaction', async () => {
    assert.deepEqual(await java('transaction', 'orders.processed'), ['orders.processed: ok', 'committed']);
  });

  test('Apache Kafka\'s client: a consumer in a group, its Fetch by name and without sessions', async () => {
    assert.deepEqual(await java('consume', 'orders.created'), ['one', 'two', 'three', 'committed 3']);
    const fetches = proxy.records.filter(({ l7 }) => l7.type === 'REQUEST' && l7.kafka?.apiKey === 'fetch');
    assert.ok(fetches.length > 0 && fetches.every(({ l7 }) => l7.kafka!.apiVersion <= 12));
    assert.deepEqual(await java('consume', 'secrets'), ['TopicAuthorizationException']);
  });

  test('Apache Kafka\'s client: lists the topics of its rules and no other', async () => {
    assert.deepEqual(await java('topics'), ['orders.created orders.processed']);
  });
});
