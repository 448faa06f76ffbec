/**
 * What passing a flow on costs the relay: two nodes with mutual TLS, each a process that sends as fast as it is read, the relay,
 * and a client on its socket that counts. `node tools/bench/relay.ts [FLOWS] [ROUNDS]`; microseconds of the relay's CPU for each
 * flow, and flows a second.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { GetFlowsRequestSchema, GetFlowsResponseSchema } from '../../src/hubble/generated/observer_pb.js';
import { clientTls, ensureHubbleCertificates, serverTls } from '../../src/hubble/certificates.ts';
import { healthMethods } from '../../src/hubble/health.ts';
import { peerServerName } from '../../src/hubble/names.ts';
import { rootAccess } from '../../src/relay/access.ts';
import { Nodes } from '../../src/relay/nodes.ts';
import { observerMethods } from '../../src/relay/observer.ts';
import { RpcClient } from '../../src/rpc/client.ts';
import { startRpcServer } from '../../src/rpc/server.ts';
import type { Call } from '../../src/rpc/types.ts';
import { silentLogger } from '../../src/std/log.ts';

const nodeNames = ['a', 'b'];

/** As an agent's: some 560 bytes. */
function flowBytes(node: string, i: number): Uint8Array {
  const labels = ['k8s:app=frontend', 'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop', 'k8s:io.cilium.k8s.policy.cluster=default', 'k8s:io.kubernetes.pod.namespace=shop'];
  const end = { ID: 12, identity: 12_345, namespace: 'shop', labels, podName: 'frontend-7d9f6c5b8-abcde', workloads: [{ name: 'frontend', kind: 'Deployment' }] };
  return toBinary(GetFlowsResponseSchema, create(GetFlowsResponseSchema, {
    nodeName: node, time: timestampFromMs(1_000_000 + i),
    responseTypes: {
      case: 'flow', value: {
        time: timestampFromMs(1_000_000 + i), uuid: `${node}-${i}`, verdict: 1, source: end, destination: end, nodeName: node, Type: 1, trafficDirection: 1, isReply: false,
        IP: { source: '10.244.1.12', destination: '10.244.2.34', ipVersion: 1 }, l4: { protocol: { case: 'TCP', value: { sourcePort: 43_210, destinationPort: 8080, flags: { SYN: true } } } },
        eventType: { type: 4 }, Summary: 'TCP Flags: SYN',
      },
    },
  }));
}

async function serveNode(folder: string, node: string, flows: number): Promise<void> {
  const messages = Array.from({ length: 1000 }, (_, i) => flowBytes(node, i));
  const handle = async (call: Call) => {
    for (let sent = 0; sent < flows && !call.signal.aborted; sent += 100) await call.write(...Array.from({ length: 100 }, (_, i) => messages[(sent + i) % 1000]!));
  };
  const { address } = await startRpcServer({
    listen: { host: '127.0.0.1', port: 0, tls: serverTls(folder, node) },
    methods: [{ path: '/observer.Observer/GetFlows', kind: 'server-stream', handle }, ...healthMethods(['observer.Observer'])],
  }, { log: silentLogger });
  process.stdout.write(`${(address as { port: number }).port}\n`);
}

async function serveRelay(socketPath: string, folder: string, ports: readonly string[]): Promise<void> {
  const nodes = new Nodes({ log: silentLogger });
  for (const [i, name] of nodeNames.entries()) {
    const serverName = peerServerName(name, 'default');
    nodes.upsert({ name, address: ports[i]!, serverName, target: () => ({ host: '127.0.0.1', port: Number(ports[i]), tls: clientTls(folder, serverName) }) });
  }
  await nodes.settled(5_000, new AbortController().signal);
  await startRpcServer({ listen: { socketPath }, methods: observerMethods({ nodes, access: () => rootAccess, version: '', nodeName: 'relay' }) }, { log: silentLogger });
  // CPU since the last line that came in.
  let last = process.cpuUsage();
  process.stdin.on('data', () => {
    const { user, system } = process.cpuUsage(last);
    last = process.cpuUsage();
    process.stdout.write(`${user + system}\n`);
  });
  process.stdout.write('ready\n');
}

function start(...args: string[]) {
  const child = spawn(process.execPath, [import.meta.filename, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  return { child, line: async () => String((await once(child.stdout, 'data') as [Buffer])[0]).trim() };
}

async function main(flows: number, rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cirri-bench-relay-'));
  const socketPath = join(folder, 'relay.sock');
  ensureHubbleCertificates(folder, { clusterName: 'default', nodes: nodeNames.map(name => ({ name })) }, new Date());
  const children = nodeNames.map(name => start('node', folder, name, String(flows / 2)));
  try {
    const ports = await Promise.all(children.map(({ line }) => line()));
    const relay = start('relay', socketPath, folder, ...ports);
    children.push(relay);
    await relay.line();
    const cpu = async () => {
      relay.child.stdin.write('\n');
      return Number(await relay.line());
    };
    const client = new RpcClient({ socketPath });
    for (let round = 0; round < rounds; round++) {
      await cpu();
      const startedAt = performance.now();
      let count = 0;
      let bytes = 0;
      for await (const batch of client.batches('/observer.Observer/GetFlows', toBinary(GetFlowsRequestSchema, create(GetFlowsRequestSchema)))) {
        count += batch.length;
        for (const message of batch) bytes += message.length;
      }
      const seconds = (performance.now() - startedAt) / 1000;
      const told = count - 1;
      if (told !== flows) throw new Error(`${told} of ${flows} flows came`);
      process.stdout.write(`${((await cpu()) / told).toFixed(2)} µs of CPU a flow of ${Math.round(bytes / count)} bytes; ${Math.round(told / seconds)} flows/s\n`);
    }
    client.close();
  } finally {
    for (const { child } of children) child.kill();
    rmSync(folder, { recursive: true });
  }
}

const [role, ...args] = process.argv.slice(2);
if (role === 'node') await serveNode(args[0]!, args[1]!, Number(args[2]));
else if (role === 'relay') await serveRelay(args[0]!, args[1]!, args.slice(2));
else await main(Number(role ?? 400_000), Number(args[0] ?? 5));
