import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureBpffs, mounts, parseMountInfo, unmount } from './mount.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-mount-'));
after(() => {
  unmount(join(folder, 'bpf'));
  rmSync(folder, { recursive: true });
});

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
