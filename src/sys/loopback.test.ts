import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { connectLoopback } from './loopback.ts';
import { createNetns, deleteNetns } from './netns.ts';

const netns = `/run/netns/loop${process.pid}`;
const program = `require('node:net').createServer({ allowHalfOpen: true }, s => s.pipe(s)).listen(+process.argv[1], process.argv[2], () => console.log('ready'))`;

const children: ChildProcess[] = [];

function serve(port: number, host: string) {
  const child = spawn('nsenter', [`--net=${netns}`, process.execPath, '-e', program, String(port), host], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return once(child.stdout, 'data');
}

before(async () => {
  createNetns(netns);
  execFileSync('nsenter', [`--net=${netns}`, 'ip', 'link', 'set', 'lo', 'up']);
  await Promise.all([serve(8001, '127.0.0.1'), serve(8002, '::1')]);
});

after(() => {
  children.forEach(child => child.kill());
  deleteNetns(netns);
});

for (const port of [8001, 8002]) {
  test(`bytes go to a server on the loopback of another namespace and come back (${port})`, async () => {
    const socket = await connectLoopback(netns, port);
    const sent = Buffer.alloc(300_000, 'x');
    socket.end(sent);
    const got: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) got.push(chunk);
    assert.ok(Buffer.concat(got).equals(sent));
  });
}

test('a port where nobody listens refuses', async () => {
  await assert.rejects(connectLoopback(netns, 8003), { code: 'ECONNREFUSED' });
});

test('a namespace that is not there is an error of its own', async () => {
  await assert.rejects(connectLoopback('/run/netns/no-such-namespace', 8001), /no-such-namespace/);
});
