import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { waitFor } from '../std/async.ts';
import { KernelError } from './errno.ts';
import { closeSocket } from './net.ts';
import { connectUnix, UnixServer, type UnixPeer } from './unix.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-unix-'));
after(() => rmSync(folder, { recursive: true }));
const soon = { timeoutMs: 20_000, everyMs: 2 };

function server(name: string, roomBytes: number, serve: (greet: (text: string) => void) => UnixPeer): { path: string; close: () => void } {
  const path = join(folder, name);
  const started = new UnixServer(path, roomBytes, serve);
  let isOpen = true;
  const close = () => void (isOpen && (isOpen = false, started.close()));
  after(close);
  return { path, close };
}

test('what is not done with comes again with what arrived behind it, of each connection its own', async () => {
  const whole: string[] = [];
  const { path } = server('lines', 16, greet => {
    greet('hello\n');
    return {
      take: bytes => {
        const end = bytes.lastIndexOf(0x0a) + 1;
        whole.push(...bytes.toString('latin1', 0, end).split('\n').slice(0, -1));
        return end;
      },
      gone: () => void whole.push('gone'),
    };
  });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const [a, b] = [connect(path), connect(path)];
  assert.equal(String((await once(a, 'data'))[0]), 'hello\n');
  const say = (socket: typeof a, text: string) => new Promise<void>(resolve => socket.write(text, () => setImmediate(resolve)));
  await say(a, 'a1-');
  await say(b, 'b1-');
  await say(a, 'a2\na3\na4-');
  await say(b, 'b2\n');
  await say(a, 'a5\n');
  await waitFor('the lines', () => whole.length === 4, soon);
  assert.deepEqual(whole.filter(line => line.startsWith('a')), ['a1-a2', 'a3', 'a4-a5']);
  assert.deepEqual(whole.filter(line => line.startsWith('b')), ['b1-b2']);
  for (const socket of [a, b]) socket.destroy();
  await waitFor('the ends', () => whole.filter(line => line === 'gone').length === 2, soon);
});

test('one who fills the room, is not listened to, or leaves the greeting unread is ended, and nobody else', async () => {
  let gone = 0;
  const { path, close } = server('ends', 64, greet => {
    greet('hello\n');
    return { take: bytes => (bytes[0] === 0x21 ? undefined : 0), gone: () => void gone++ };
  });
  const stays = connect(path).on('data', () => {});
  await once(stays, 'connect');
  for (const text of ['x'.repeat(64), '!']) {
    const socket = connect(path).on('data', () => {}).on('error', () => {});
    socket.write(text);
    await once(socket, 'close');
  }
  const unread = connectUnix(path)!;
  await waitFor('its first bytes to be there', () => gone === 2, soon);
  closeSocket(unread);
  await waitFor('three to be gone', () => gone === 3, soon);
  assert.equal(stays.destroyed, false);
  close();
  await once(stays, 'close');
  assert.equal(gone, 3);
  assert.equal(existsSync(path), false);
  assert.equal(connectUnix(path), undefined);
});

test('a path that is too long, or cannot be made, is refused with what to do', () => {
  assert.throws(() => new UnixServer(join(folder, 'x'.repeat(120)), 8, () => assert.fail()), (error: unknown) => error instanceof KernelError && error.message.includes('ENAMETOOLONG'));
  assert.throws(() => new UnixServer(join(folder, 'nowhere', 'x'), 8, () => assert.fail()), (error: unknown) => error instanceof KernelError && error.errno === 'ENOENT');
});
