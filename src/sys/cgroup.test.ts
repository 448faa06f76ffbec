import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { cgroupProcesses, createCgroup, moveToCgroup, removeCgroup } from './cgroup.ts';
import { isAlive, openPidfd, sendSignal, sendSignalByPidfd } from './process.ts';

const prefix = `cirrigroup${process.pid}`;

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
