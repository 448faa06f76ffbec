import assert from 'node:assert/strict';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { isErrno } from './errno.ts';
import { type Fd, mapShared, memfd, openFd } from './file.ts';
import { stable } from './memory.ts';
import * as native from './native.ts';

const prefix = `cirrifile${process.pid}`;

test('a descriptor is closed once and cannot be used after', () => {
  const fd = openFd('/proc/self/status');
  const number = fd.fd;
  fd.close();
  fd.close();
  assert.throws(() => fd.fd, /used after close/);
  assert.throws(() => readlinkSync(`/proc/self/fd/${number}`));
});

test('`using` closes at the end of the block', () => {
  let kept: Fd;
  {
    using fd = memfd(prefix);
    kept = fd;
  }
  assert.ok(kept.closed);
});

test('a stable buffer keeps its address over collections', () => {
  const memory = stable(16);
  const junk: Uint8Array[] = [];
  for (let i = 0; i < 100_000; i++) junk[i % 1000] = new Uint8Array(16);
  assert.equal(native.addressOf(memory.bytes), memory.address);
});

test('a mapping shows what the file holds', () => {
  using fd = openFd('/etc/hostname');
  const length = statSync('/etc/hostname').size;
  const mapping = mapShared({ fd: fd.fd, length, writable: false, what: '/etc/hostname' });
  assert.equal(Buffer.from(mapping.buffer).toString(), readFileSync('/etc/hostname', 'utf8'));
  mapping.unmap();
  mapping.unmap();
});

test('a refused mapping is an error', () => {
  assert.throws(() => mapShared({ fd: -1, length: 4096, writable: false, what: 'nothing' }), (e: unknown) => isErrno(e, 'EBADF'));
});
