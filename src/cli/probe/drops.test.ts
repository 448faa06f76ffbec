import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Flow } from '../../model/flow.ts';
import type { Context } from '../context.ts';
import { DropWatch } from './drops.ts';

/** An agent that tells of the drops that the test makes up. */
const folder = mkdtempSync(join(tmpdir(), 'cirri-drops-'));
const agentSocket = join(folder, 'agent.sock');
let stream: ServerResponse | undefined;
const server = createServer((_, response) => {
  response.writeHead(200).flushHeaders();
  stream = response;
});
await new Promise<void>(resolve => void server.listen(agentSocket, resolve));
const watch = new DropWatch({ record: { nodes: [{ name: 'node1' }] }, paths: { node: () => ({ agentSocket }) } } as unknown as Context);
await watch.ready;
after(() => {
  watch.close();
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const source = { ip: '10.0.0.1', port: 40_000 };
const [one, two] = [{ ip: '10.0.0.2', port: 80 }, { ip: '10.0.0.3', port: 80 }];

function drop(destination: { ip: string; port: number }, protocol = 'TCP'): Flow {
  return { time: new Date().toISOString(), protocol, source: { ip: source.ip }, sourcePort: source.port, destination: { ip: destination.ip }, destinationPort: destination.port } as unknown as Flow;
}

const say = (flow: Flow) => void stream!.write(JSON.stringify(flow) + '\n');

test('connections of one source port are told apart by their destinations', async () => {
  const since = new Date();
  const seen: string[] = [];
  const done = Promise.all([one, two].map(destination => new Promise<void>(resolve => {
    watch.expect('TCP', source, since, flow => {
      seen.push(`${destination.ip} got ${flow.destination.ip}`);
      resolve();
    }, destination);
  })));
  say(drop(two));
  say(drop(one));
  await done;
  assert.deepEqual(seen, ['10.0.0.3 got 10.0.0.3', '10.0.0.2 got 10.0.0.2']);
});

test('without a destination any drop of the source counts, also one that came before the question; an older one does not', async () => {
  const since = new Date();
  const first = await new Promise<Flow>(resolve => {
    watch.expect('UDP', source, since, resolve);
    say(drop(one, 'UDP'));
  });
  assert.equal(first.destination.ip, one.ip);
  const again: Flow[] = [];
  watch.expect('UDP', source, since, flow => again.push(flow));
  assert.equal(again.length, 1);
  watch.expect('UDP', source, new Date(Date.now() + 60_000), flow => again.push(flow));
  assert.equal(again.length, 1);
});
