import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { stat } from 'node:fs/promises';
import { cgroupProcesses, createCgroup, moveToCgroup, removeCgroup } from './cgroup.ts';
import { KernelError, check, errnoName, isErrno } from './errno.ts';
import { Fd, mapShared, memfd, openFd } from './file.ts';
import { stable } from './memory.ts';
import { ensureBpffs, mounts, parseMountInfo, unmount } from './mount.ts';
import * as native from './native.ts';
import { createNetns, deleteNetns, isNetns, openNetns, withNetns } from './netns.ts';
import { isAlive, openPidfd, sendSignal, sendSignalByPidfd } from './process.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-sys-'));
const prefix = `cirrisys${process.pid}`;
after(() => {
  unmount(join(folder, 'bpf'));
  for (const name of ['a', 'b', 'c']) deleteNetns(join(folder, name));
  rmSync(folder, { recursive: true });
});

describe('errors', () => {
  test('name the errno, the call and what was being done', () => {
    assert.throws(() => openFd('/nonexistent/file'), (error: unknown) => {
      assert.ok(error instanceof KernelError);
      assert.equal(error.errno, 'ENOENT');
      assert.equal(error.syscall, 'open');
      assert.match(error.message, /opening \/nonexistent\/file: no such file or directory \(ENOENT from open\)/);
      return true;
    });
  });

  test('know the numbers that BPF uses', () => {
    assert.deepEqual([7, 28, 17, 1, 11, 95, 524, 9999].map(errnoName), ['E2BIG', 'ENOSPC', 'EEXIST', 'EPERM', 'EAGAIN', 'EOPNOTSUPP', 'ENOTSUPP', 'ERRNO_9999']);
  });
});

describe('descriptors and memory', () => {
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
});

describe('mounts', () => {
  test('a BPF file system is mounted once', () => {
    const target = join(folder, 'bpf');
    ensureBpffs(target);
    ensureBpffs(target);
    assert.equal(mounts().filter(m => m.target === target).length, 1);
    assert.equal(unmount(target), true);
    assert.equal(unmount(target), false);
  });

  test('mountinfo with optional fields and escapes is read', () => {
    const [one] = parseMountInfo('36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nrubbish\n');
    assert.deepEqual(one, { root: '/mnt1', target: '/mnt 2', options: 'rw,noatime', type: 'ext3', source: '/dev/root' });
  });
});

describe('network namespaces', () => {
  const own = () => readlinkSync('/proc/thread-self/ns/net');

  test('a section runs inside and the thread comes back, also after a throw', () => {
    const path = join(folder, 'a');
    createNetns(path);
    assert.ok(isNetns(path));
    using ns = openNetns(path);
    const before = own();
    const inside = withNetns(ns.fd, own);
    assert.notEqual(inside, before);
    assert.equal(own(), before);
    assert.throws(() => withNetns(ns.fd, () => { throw new Error('inside'); }), /inside/);
    assert.equal(own(), before);
    assert.throws(() => withNetns(ns.fd, async () => {}), TypeError);
    assert.equal(own(), before);
  });

  test('sections nest', () => {
    createNetns(join(folder, 'b'));
    using a = openNetns(join(folder, 'a'));
    using b = openNetns(join(folder, 'b'));
    const [outer, inner, back] = withNetns(a.fd, () => [own(), withNetns(b.fd, own), own()]);
    assert.notEqual(outer, inner);
    assert.equal(outer, back);
  });

  test('an asynchronous file call inside a section leaves no pool thread behind', async () => {
    using ns = openNetns(join(folder, 'a'));
    const pending = withNetns(ns.fd, () => ({ call: Promise.all([stat('/'), stat('/'), stat('/'), stat('/'), stat('/')]) }));
    await pending.call;
    const spaces = new Set(readdirSync('/proc/self/task').map(task => readlinkSync(`/proc/self/task/${task}/ns/net`)));
    assert.deepEqual([...spaces], [own()]);
  });

  test('a namespace cannot be created twice, and is deleted as often as one likes', () => {
    assert.throws(() => createNetns(join(folder, 'a')), (e: unknown) => isErrno(e, 'EEXIST'));
    deleteNetns(join(folder, 'a'));
    deleteNetns(join(folder, 'a'));
    assert.ok(!isNetns(join(folder, 'a')));
  });

  test('a sysctl inside belongs to that namespace', () => {
    createNetns(join(folder, 'c'));
    using ns = openNetns(join(folder, 'c'));
    const outside = readSysctl('net/ipv4/ip_default_ttl');
    withNetns(ns.fd, () => {
      assert.equal(writeSysctl('net/ipv4/ip_default_ttl', 33), true);
      assert.equal(readSysctl('net/ipv4/ip_default_ttl'), '33');
    });
    assert.equal(readSysctl('net/ipv4/ip_default_ttl'), outside);
    assert.equal(writeSysctl('net/ipv4/no_such_thing', 1), false);
    assert.throws(() => writeSysctl('../../etc/passwd', 1), /is not a sysctl/);
  });
});

describe('processes and cgroups', () => {
  test('a process lives in the group it was moved to, and the group goes after it', async () => {
    const path = createCgroup(`${prefix}/node/pods`);
    const child = spawn('sleep', ['60']);
    try {
      moveToCgroup(path, child.pid!);
      assert.deepEqual(cgroupProcesses(path), [child.pid]);
      assert.throws(() => removeCgroup(join(path, '../..')), /still live/);
      using pidfd = openPidfd(child.pid!)!;
      assert.ok(isAlive(child.pid!));
      assert.equal(sendSignalByPidfd(pidfd, 9), true);
      await once(child, 'exit');
      assert.equal(sendSignalByPidfd(pidfd, 9), false);
      assert.equal(sendSignal(child.pid!, 0), false);
      assert.equal(openPidfd(child.pid!), undefined);
    } finally {
      child.kill('SIGKILL');
      removeCgroup(join(path, '../..'));
      removeCgroup(join(path, '../..'));
    }
  });

  test('moving a process that does not exist is an error with its number', () => {
    const path = createCgroup(prefix);
    try {
      assert.throws(() => moveToCgroup(path, 4194303), /moving process 4194303/);
    } finally {
      removeCgroup(path);
    }
  });
});

test('check passes results through', () => assert.equal(check(5, 'x', 'y'), 5));
