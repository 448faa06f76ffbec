import assert from 'node:assert/strict';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '../std/log.ts';
import { waitFor } from '../std/async.ts';
import { readLog, render } from './logs.ts';
import { frame, frameReader } from './frames.ts';
import { serveKubelet } from './server.ts';
import { TestNode } from './testing.ts';

describe('kubelet.sock', () => {
  const stop = new AbortController();
  let node: TestNode;
  let socketPath: string;
  before(async () => {
    node = new TestNode();
    await node.start();
    socketPath = node.layout.node.kubeletSocket;
    await serveKubelet(socketPath, { kubelet: node.kubelet, parts: node.parts, log: silentLogger }, stop.signal);
    node.addPod('talk', { containers: [{ name: 'main', image: 'x', command: ['/bin/sh', '-c', 'echo one; echo two; echo three; while ! [ -f /tmp/more ]; do sleep 0.05; done; echo four; exec sleep 1000'] }, { name: 'idle', image: 'cirri/client' }] });
    await node.untilReady('talk');
  });
  after(async () => {
    stop.abort();
    await node.remove();
  });

  test('lists pods with what runs in them', async () => {
    const { items } = JSON.parse((await call('GET', '/v1/pods')).body) as { items: { name: string; containers: { name: string; state: string; pid: number }[] }[] };
    assert.deepEqual(items.map(i => i.name), ['talk']);
    assert.ok(items[0]!.containers.every(c => c.state === 'running' && c.pid > 0));
  });

  test('gives logs whole, from the end, with times, and as they grow', async () => {
    await waitFor('the lines', async () => (await call('GET', '/v1/logs/default/talk/main')).body === 'one\ntwo\nthree\n');
    assert.equal((await call('GET', '/v1/logs/default/talk/main?tail=1')).body, 'three\n');
    assert.match((await call('GET', '/v1/logs/default/talk/main?tail=1&timestamps')).body, /^\d{4}-.*Z three\n$/);
    const request = http.request({ socketPath, path: '/v1/logs/default/talk/main?follow&tail=1' });
    const response = await new Promise<http.IncomingMessage>(resolve => request.on('response', resolve).end());
    let text = '';
    response.on('data', chunk => (text += String(chunk)));
    response.on('error', () => {});
    await call('POST', '/v1/exec/default/talk/main', { command: ['touch', '/tmp/more'] });
    await waitFor('the new line', () => text === 'three\nfour\n');
    request.destroy();
  });

  test('runs a command and gives its streams and its exit code', async () => {
    const lines = (await call('POST', '/v1/exec/default/talk/idle', { command: ['/bin/sh', '-c', 'cat; echo err >&2; exit 4'], stdin: 'given' })).body.trim().split('\n').map(l => JSON.parse(l) as Record<string, unknown>);
    assert.deepEqual(lines.at(-1), { exitCode: 4 });
    assert.ok(lines.some(l => l['stream'] === 'stdout' && l['data'] === 'given'));
    assert.ok(lines.some(l => l['stream'] === 'stderr' && l['data'] === 'err\n'));
  });

  test('a command can be talked with in frames', async () => {
    const { socket, head } = await connect('/v1/exec/default/talk/idle?stdin=1&command=/bin/sh&command=-c&command=read+x;echo+got+$x;exit+6', 'cirri-exec');
    const seen: [number, string][] = [];
    const reader = frameReader((channel, payload) => seen.push([channel, payload.toString()]));
    reader(head);
    socket.on('data', reader);
    socket.write(frame(0, Buffer.from('words\n')));
    await new Promise(resolve => socket.on('close', resolve));
    assert.deepEqual(seen, [[1, 'got words\n'], [3, '{"exitCode":6}']]);
  });

  test('a command with a terminal sees one, hears of its size, and is interrupted by a key', async () => {
    const { socket, head } = await connect('/v1/exec/default/talk/idle?stdin=1&tty=1&command=/bin/sh&command=-c&command=' + encodeURIComponent('trap "stty size; exit 9" INT; until [ "$(stty size)" = "20 70" ]; do sleep 0.01; done; echo ready; until [ "$(stty size)" = "33 101" ]; do sleep 0.01; done; echo larger; while :; do sleep 0.05; done'), 'cirri-exec');
    let text = '';
    let exit = '';
    let wake = () => {};
    const reader = frameReader((channel, payload) => {
      if (channel === 3) exit = payload.toString();
      else text += payload.toString();
      wake();
    });
    const until = async (pattern: RegExp) => {
      while (!pattern.test(text)) await new Promise<void>(resolve => (wake = resolve));
    };
    reader(head);
    socket.on('data', reader);
    socket.write(frame(4, Buffer.from('{"Width":70,"Height":20}')));
    await until(/ready/);
    socket.write(frame(4, Buffer.from('{"Width":101,"Height":33}')));
    // runc hears of a size by a signal and of a key by reading: nothing puts them in order.
    await until(/larger/);
    socket.write(frame(0, Buffer.from([3])));
    await new Promise(resolve => socket.on('close', resolve));
    assert.match(text, /^ready\r\nlarger\r\n\^C33 101\r\n$/);
    assert.equal(exit, '{"exitCode":9}');
  });

  test('a client that leaves ends its command', async () => {
    const { socket } = await connect('/v1/exec/default/talk/idle?command=sleep&command=4321', 'cirri-exec');
    const running = async () => (await call('POST', '/v1/exec/default/talk/idle', { command: ['/bin/sh', '-c', 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " "'] })).body.includes('sleep 4321');
    await waitFor('the command runs', running);
    socket.destroy();
    await waitFor('the command is gone', async () => !(await running()));
  });

  test('what is not there is said', async () => {
    assert.equal((await call('GET', '/v1/logs/default/nosuch/main')).status, 404);
    assert.match((await call('GET', '/v1/logs/default/talk/nosuch')).body, /has no container \\"nosuch\\": main, idle/);
    assert.equal((await call('POST', '/v1/exec/default/talk/main', { command: [] })).status, 400);
    assert.equal((await call('GET', '/v2/x')).status, 404);
  });

  async function call(method: string, path: string, body?: unknown): Promise<{ status: number; body: string }> {
    const request = http.request({ socketPath, method, path });
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => request.on('response', resolve).on('error', reject).end(body === undefined ? undefined : JSON.stringify(body)));
    let text = '';
    for await (const chunk of response) text += String(chunk);
    return { status: response.statusCode!, body: text };
  }

  function connect(path: string, upgrade: string): Promise<{ socket: Duplex; head: Buffer }> {
    return new Promise((resolve, reject) => {
      http.request({ socketPath, path, headers: { connection: 'upgrade', upgrade } }).on('upgrade', (_, socket, head) => resolve({ socket, head })).on('response', r => reject(new Error(`HTTP ${r.statusCode}`))).on('error', reject).end();
    });
  }
});

test('frames come out as they went in, in any portions', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 40 })), { maxLength: 10 }), fc.integer({ min: 1, max: 20 }), (frames, portion) => {
    const bytes = Buffer.concat(frames.map(([channel, payload]) => frame(channel, payload)));
    const out: [number, number[]][] = [];
    const reader = frameReader((channel, payload) => out.push([channel, [...payload]]));
    for (let at = 0; at < bytes.length; at += portion) reader(bytes.subarray(at, at + portion));
    assert.deepEqual(out, frames.map(([channel, payload]) => [channel, [...payload]]));
  }));
});

test('a partial line is joined to the next', () => {
  assert.equal(render('2026-11-20T00:00:00Z stdout P abc', false) + render('2026-11-20T00:00:00Z stdout F def', false), 'abcdef\n');
  assert.equal(render('2026-11-20T00:00:00Z stdout F ', false), '\n');
});

test('a log that is not there is empty', async () => {
  const lines = [];
  for await (const line of readLog('/nonexistent/log', { follow: false, tail: undefined, previous: false, timestamps: false, since: undefined, signal: new AbortController().signal, ended: () => true })) lines.push(line);
  assert.deepEqual(lines, []);
});
