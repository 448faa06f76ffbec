/**
 * What one stream of flows costs the agent: CPU of the serving process for each flow, without a follower and with one that
 * counts bytes, at 50,000 flows a second in turns of 20 ms.
 *
 *     node tools/hubble-speed.ts
 */
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventRecord } from '../src/flows/testing.ts';
import { startHubbleServer } from '../src/hubble/server.ts';
import { testParts } from '../src/hubble/testing.ts';
import { RpcClient } from '../src/rpc/client.ts';
import { delay } from '../src/std/async.ts';

const perTurn = 1000;
const turnMs = 20;
const turns = 100;
const rounds = 4;

const socketPath = process.argv[2];
if (socketPath === undefined) await measure();
else await serve(socketPath);

/** Starts the server in a process of its own and follows it in every other round. */
async function measure(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-speed-'));
  const path = join(folder, 'hubble.sock');
  const child = fork(fileURLToPath(import.meta.url), [path]);
  const told = () => new Promise<unknown>(resolve => child.once('message', resolve));
  try {
    await told();
    for (let round = 0; round < rounds; round++) {
      const client = new RpcClient({ socketPath: path });
      const leaving = new AbortController();
      const cost = async (): Promise<number> => {
        child.send('round');
        return await told() as number;
      };
      const alone = await cost();
      let bytes = 0;
      const reading = (async () => {
        for await (const batch of client.batches('/observer.Observer/GetFlows', Buffer.from([0x18, 1]), { signal: leaving.signal })) for (const message of batch) bytes += message.length;
      })().catch(() => {});
      await delay(200);
      const followed = await cost();
      await delay(200);
      leaving.abort();
      await reading;
      client.close();
      console.log(`round ${round + 1}: ${alone.toFixed(0)} ns of CPU a flow alone, ${followed.toFixed(0)} followed: the stream costs ${(followed - alone).toFixed(0)} ns (${(bytes / turns / perTurn).toFixed(0)} bytes a flow arrived)`);
    }
  } finally {
    child.kill();
    rmSync(folder, { recursive: true });
  }
}

async function serve(path: string): Promise<void> {
  const labels = ['k8s:app=web', 'k8s:io.kubernetes.pod.namespace=payments', 'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.cilium.k8s.policy.serviceaccount=default'];
  const parts = testParts({
    podByAddr: ip => ({ namespace: 'payments', name: `web-7d9f8c-${ip.split('.').at(-1)}` }), identityLabels: () => labels,
  });
  await startHubbleServer({ nodeName: 'n1', clusterName: 'default', version: '1', startedAtMs: Date.now(), socketPath: path, tcp: { host: '127.0.0.1', port: 0 }, certificates: undefined }, parts);
  const records = Array.from({ length: perTurn }, (_, i) => eventRecord({ type: 4, timeNs: 0, source: `10.244.1.${i % 64 + 1}`, destination: `10.244.2.${i * 7 % 64 + 1}`, sourcePort: 30_000 + i }));
  process.on('message', () => void (async () => {
    const before = process.cpuUsage();
    for (let turn = 0; turn < turns; turn++) {
      const timeNs = process.hrtime.bigint();
      for (const record of records) record.setBigUint64(0, timeNs, true);
      parts.flows.push(...records);
      parts.pipeline.drain();
      await delay(turnMs);
    }
    const { user, system } = process.cpuUsage(before);
    process.send!((user + system) * 1000 / turns / perTurn);
  })());
  process.send!('ready');
}
