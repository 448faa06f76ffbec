/** The native helpers by themselves: the shim with a stand-in for runc, the echo server over real sockets. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { delay, waitFor } from '../std/async.ts';
import { freePort } from '../std/testing-port.ts';
import type { Exit } from './runtime.ts';
import { repositoryRoot } from './testing.ts';

const build = (name: string) => join(repositoryRoot, 'build', name);

describe('the shim', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ktshim-'));
  const exits = join(dir, 'exits');
  let count = 0;
  before(() => mkdirSync(exits));
  after(() => rmSync(dir, { recursive: true, force: true }));

  /** `script` plays the container: a runc that starts it in the background, writes its pid and ends, as a program that waits for nobody: a shell reaps what it finds. */
  function start(script: string, options: { logMax?: number; fails?: boolean; reaps?: boolean } = {}): { id: string; bundle: string; log: string; child: ChildProcess; said: Promise<string> } {
    const id = `c${count++}`;
    const bundle = join(dir, id);
    mkdirSync(bundle);
    writeFileSync(join(bundle, 'container.sh'), script);
    writeFileSync(join(bundle, 'runc'), options.fails ? '#!/bin/sh\necho broken >&2; exit 5\n'
      : `#!/usr/bin/perl\nmy $p = fork; if ($p == 0) { exec 'sh', '${bundle}/container.sh'; } open(my $f, '>', '${bundle}/pid'); print $f "$p\\n"; close $f; ${options.reaps ? 'waitpid($p, 0); ' : ''}exit 0;\n`);
    chmodSync(join(bundle, 'runc'), 0o755);
    const log = join(bundle, 'log');
    const child = spawn(build('cirri-shim'), ['run', '--id', id, '--runc', join(bundle, 'runc'), '--root', dir, '--bundle', bundle, '--log', log, '--log-max', String(options.logMax ?? 1 << 20),
      '--exits', exits, '--scratch', '1m'], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    const said = new Promise<string>(resolve => {
      let text = '';
      child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
      child.stdout!.on('close', () => resolve(text));
    });
    return { id, bundle, log, child, said };
  }
  const exitOf = (id: string) => waitFor(`the end of ${id}`, () => existsSync(join(exits, id)) && (JSON.parse(readFileSync(join(exits, id), 'utf8')) as Exit));

  test('tells the start and the exit code', async () => {
    const run = start('exit 7');
    assert.match(await run.said, /^started \d+\n$/);
    const exit = await exitOf(run.id);
    assert.deepEqual([exit.started, exit.exitCode, exit.signal], [true, 7, 0]);
    assert.ok(Date.parse(exit.finishedAt) >= Date.parse(exit.startedAt));
  });

  test('tells of an end that somebody else took the status of, instead of waiting for it for ever', async () => {
    const run = start('exit 7', { reaps: true });
    assert.match(await run.said, /^started \d+\n$/);
    assert.equal((await exitOf(run.id)).exitCode, 255);
  });

  test('tells the signal that ended a container', async () => {
    const run = start('kill -9 $$');
    const exit = await exitOf(run.id);
    assert.deepEqual([exit.exitCode, exit.signal], [137, 9]);
  });

  test('tells that a container could not be started', async () => {
    const run = start('', { fails: true });
    assert.equal(await run.said, 'failed 5\n');
    assert.equal((await exitOf(run.id)).started, false);
    assert.match(readFileSync(run.log, 'utf8'), /stderr F broken/);
  });

  test('writes lines with time and stream, cuts only what is longer than its buffer, and keeps a last line without an end', async () => {
    const run = start(`echo one; echo two >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; printf rest`);
    await exitOf(run.id);
    const lines = readFileSync(run.log, 'utf8').trimEnd().split('\n');
    for (const line of lines) assert.match(line, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z std(out|err) [FP] /);
    const stdout = lines.filter(l => l.includes(' stdout ')).map(l => [l.split(' ')[2], l.split(' ')[3]] as const);
    assert.deepEqual(lines.filter(l => l.includes(' stderr ')).map(l => l.split(' ')[3]), ['two']);
    assert.equal(stdout[0]![1], 'one');
    const long = stdout.slice(1, -1);
    assert.equal(long.map(l => l[1]).join('').length, 40_000);
    assert.deepEqual(long.map(l => l[0]), ['P', 'P', 'F']);
    assert.deepEqual(stdout.at(-1), ['F', 'rest']);
  });

  test('bounds the log by turning it over once', async () => {
    const run = start('i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done', { logMax: 20_000 });
    await exitOf(run.id);
    assert.ok(statSync(run.log).size < 60_000);
    assert.ok(statSync(`${run.log}.rotated`).size < 60_000);
    assert.deepEqual(readdirSync(run.bundle).filter(f => f.startsWith('log')).sort(), ['log', 'log.rotated']);
    const all = readFileSync(`${run.log}.rotated`, 'utf8') + readFileSync(run.log, 'utf8');
    assert.ok(all.trimEnd().endsWith('line 2999'));
  });

  test('goes on when whoever started it is gone, and when it is asked to stop', async () => {
    const run = start('until [ -e asked ]; do sleep 0.02; done; echo late; exit 3');
    await run.said;
    run.child.stdout!.destroy();
    process.kill(run.child.pid!, 'SIGTERM');
    process.kill(run.child.pid!, 'SIGHUP');
    writeFileSync(join(run.bundle, 'asked'), '');
    assert.equal((await exitOf(run.id)).exitCode, 3);
    assert.match(readFileSync(run.log, 'utf8'), /late/);
  });

  test('ends with the container also when a stranger holds its output open', async () => {
    const run = start('sleep 30 & echo $! >stranger; exit 0');
    const exit = await exitOf(run.id);
    assert.equal(exit.exitCode, 0);
    const stranger = Number(readFileSync(join(run.bundle, 'stranger'), 'utf8'));
    process.kill(stranger, 'SIGKILL');
  });

  test('needs less than a megabyte of its own', async () => {
    const run = start('until [ -e seen ]; do sleep 0.02; done');
    await run.said;
    const rss = Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${run.child.pid}/status`, 'utf8'))![1]);
    writeFileSync(join(run.bundle, 'seen'), '');
    assert.ok(rss < 300, `${rss} kB`);
    await exitOf(run.id);
  });
});

describe('the echo server', () => {
  let child: ChildProcess;
  let tcp: number;
  let udp: number;
  const agent = new http.Agent({ keepAlive: true });
  before(async () => {
    [tcp, udp] = [await freePort(), await freePort()];
    child = spawn(build('cirri-echo'), ['--tcp', String(tcp), '--udp', String(udp), '--drain', '3'], { stdio: ['ignore', 'pipe', 'inherit'], env: { POD_NAME: 'p "1"', POD_NAMESPACE: 'ns', NODE_NAME: 'n' } });
    await waitFor('it to listen', () => connects(tcp));
  });
  after(() => {
    agent.destroy();
    child.kill('SIGKILL');
  });

  test('says who asked whom and what, over one kept connection', async () => {
    const first = await get('/a?b="é"', { 'X-One': '1', 'x-two': 'a"b\\' });
    const second = await get('/c');
    assert.equal(first.body['pod'], 'p "1"');
    assert.deepEqual([first.body['namespace'], first.body['node'], first.body['method'], first.body['path']], ['ns', 'n', 'GET', '/a?b="é"']);
    assert.equal((first.body['headers'] as Record<string, string>)['x-one'], '1');
    assert.equal((first.body['headers'] as Record<string, string>)['x-two'], 'a"b\\');
    assert.equal(first.body['peerPort'], second.body['peerPort']);
  });

  test('does what a path wishes', async () => {
    assert.equal((await get('/status/503')).status, 503);
    const began = performance.now();
    await get('/delay/150');
    assert.ok(performance.now() - began >= 145);
    assert.equal((await raw('GET /bytes/50000 HTTP/1.0\r\n\r\n')).length > 50_000, true);
  });

  test('reads bodies with a length and in chunks, and answers requests sent at once in order', async () => {
    const text = await raw('POST /1 HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhelloPOST /2 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: 1\r\n\r\nGET /3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    assert.deepEqual([...text.matchAll(/"path":"(\/\d)"/g)].map(m => m[1]), ['/1', '/2', '/3']);
  });

  test('refuses what could be read in two ways', async () => {
    for (const request of ['GET / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n', 'GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx', 'GET / HTTP/1.1\r\nbad header: 1\r\n\r\n', 'GET / FTP/1.1\r\n\r\n',
      `GET / HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`]) {
      assert.match(await raw(request), /^HTTP\/1\.1 4\d\d /, request.slice(0, 60));
    }
  });

  test('echoes other bytes after a line that says who asked', async () => {
    const text = await raw('hello there\n');
    const [info, rest] = [text.slice(0, text.indexOf('\n')), text.slice(text.indexOf('\n') + 1)];
    assert.equal((JSON.parse(info) as { protocol: string }).protocol, 'TCP');
    assert.equal(rest, 'hello there\n');
  });

  test('echoes a megabyte to a peer that reads slowly', async () => {
    const socket = net.connect(tcp, '127.0.0.1');
    const sent = Buffer.alloc(1 << 20, 'z');
    socket.write('!');
    socket.write(sent);
    let size = 0;
    socket.pause();
    await delay(50);
    for await (const chunk of socket) {
      size += (chunk as Buffer).length;
      if (size > sent.length) break;
    }
    assert.ok(size > sent.length);
  });

  test('answers a datagram', async () => {
    const socket = dgram.createSocket('udp4');
    const answer = new Promise<string>(resolve => socket.on('message', message => resolve(message.toString())));
    socket.send('ping', udp, '127.0.0.1');
    const text = await answer;
    socket.close();
    assert.equal((JSON.parse(text.split('\n')[0]!) as { localPort: number }).localPort, udp);
    assert.equal(text.split('\n')[1], 'ping');
  });

  test('survives any bytes, in any portions', async () => {
    const piece = fc.oneof(fc.uint8Array({ maxLength: 200 }).map(b => Buffer.from(b)), fc.constantFrom('GET / HTTP/1.1\r\n', 'transfer-encoding: chunked\r\n', 'content-length: 99999999999999999\r\n', '\r\n', 'ffffffffffffffffffff\r\n', '0\r\n\r\n', 'POST ').map(s => Buffer.from(s)));
    await fc.assert(fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 8 }), async pieces => {
      const socket = net.connect(tcp, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      for (const bytes of pieces) if (!socket.destroyed) socket.write(bytes);
      socket.end();
      await Promise.race([new Promise(resolve => socket.on('close', resolve)), delay(50)]);
      socket.destroy();
    }), { numRuns: 300 });
    assert.equal((await get('/alive')).status, 200);
    assert.equal(child.exitCode, null);
  });

  test('SIGTERM: no new connections, the answer that is being made is finished, then it is gone', async () => {
    const socket = net.connect(tcp, '127.0.0.1');
    let text = '';
    socket.on('data', chunk => (text += String(chunk)));
    const closed = new Promise(resolve => socket.on('close', resolve));
    // Sent as one, read as one: with the first answer the second one is being made.
    socket.write('GET /first HTTP/1.1\r\nhost: x\r\n\r\nGET /delay/400 HTTP/1.1\r\nhost: x\r\n\r\n');
    await waitFor('the first answer', () => text.includes('"path":"/first"'));
    child.kill('SIGTERM');
    await waitFor('the port to be closed', async () => !(await connects(tcp)));
    await closed;
    assert.equal(text.match(/^HTTP\/1\.1 200 /gm)?.length, 2);
    assert.match(text, /"path":"\/delay\/400"/);
    await waitFor('it to end', () => child.exitCode === 0);
  });

  async function get(path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      const request = http.request({ host: '127.0.0.1', port: tcp, path: '/', headers, agent }, resolve).on('error', reject);
      // Node refuses to send what is not ASCII in a path; the server takes it.
      request.path = Buffer.from(path).toString('latin1');
      request.end();
    });
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    return { status: response.statusCode!, body: JSON.parse(Buffer.concat(chunks).toString('utf8')) as Record<string, unknown> };
  }

  function raw(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let out = '';
      const socket = net.connect(tcp, '127.0.0.1', () => socket.end(text));
      socket.on('data', chunk => (out += chunk.toString()));
      socket.on('close', () => resolve(out));
      socket.on('error', error => (out ? resolve(out) : reject(error)));
    });
  }
});

function connects(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(true));
    socket.on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
