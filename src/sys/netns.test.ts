import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { isErrno } from './errno.ts';
import { mount, mountFlags } from './mount.ts';
import { createNetns, deleteNetns, isNetns, netnsCookie, openNetns, withNetns } from './netns.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-netns-'));
after(() => {
  for (const name of ['a', 'b', 'c', 'twice']) deleteNetns(join(folder, name));
  rmSync(folder, { recursive: true });
});

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

test('a namespace whose file is mounted over itself is deleted whole', () => {
  const path = join(folder, 'twice');
  createNetns(path);
  mount({ source: path, target: path, flags: mountFlags.bind });
  deleteNetns(path);
  assert.ok(!isNetns(path));
  assert.ok(!existsSync(path));
});

test('each namespace has its own cookie, the same at every question', () => {
  const path = join(folder, 'cookie');
  createNetns(path);
  try {
    using other = openNetns(path);
    const [own, inside] = [netnsCookie(), withNetns(other.fd, netnsCookie)];
    assert.equal(netnsCookie(), own);
    assert.notEqual(inside, own);
    assert.notEqual(own, 0n);
  } finally {
    deleteNetns(path);
  }
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

test('a process that cannot come back is aborted', () => {
  // The section closes every descriptor of the own namespace, so that nothing is left to return to.
  const script = `
    import { closeSync, readdirSync, readlinkSync } from 'node:fs';
    import { openNetns, withNetns } from ${JSON.stringify(join(import.meta.dirname, 'netns.ts'))};
    const MS_BIND = 4096;
const own = readlinkSync('/proc/thread-self/ns/net');
    const link = fd => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } };
    withNetns(openNetns(process.argv[1]).fd, () => {
      for (const fd of readdirSync('/proc/self/fd')) if (link(fd) === own) closeSync(Number(fd));
    });
    console.log('came back');
  `;
  createNetns(join(folder, 'b2'));
  try {
    const result = spawnSync(process.execPath, ['--input-type=module', '-e', script, join(folder, 'b2')], { encoding: 'utf8', cwd: folder });
    assert.equal(result.signal, 'SIGABRT', result.stderr);
    assert.equal(result.stdout, '');
    assert.match(result.stderr, /cannot return to the own network namespace/);
  } finally {
    deleteNetns(join(folder, 'b2'));
  }
});
