import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { waitFor } from '../../std/async.ts';
import { RotatingFile } from './rotating-file.ts';

let folder: string;
beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'cirri-export-')); });
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options = { maxBytes: 1 << 20, maxBackups: 5, compress: false };

test('lines are appended, in order, also to a file that is there', async () => {
  const path = join(folder, 'deep/flows.log');
  mkdirSync(join(folder, 'deep'));
  writeFileSync(path, 'before\n');
  const file = new RotatingFile({ path, ...options });
  for (let i = 0; i < 1000; i++) {
    file.add(`line ${i}`);
    if (i % 7 === 0) file.flush();
  }
  await file.close();
  assert.equal(readFileSync(path, 'utf8'), `before\n${Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join('')}`);
  assert.equal(file.written, 1000);
  assert.equal(file.lost, 0);
});

for (const compress of [false, true]) {
  test(`a file that is full becomes a backup${compress ? ', compressed' : ''}, and the oldest go`, async () => {
    const path = join(folder, 'flows.log');
    const file = new RotatingFile({ path, maxBytes: 1000, maxBackups: 3, compress });
    writeFileSync(join(folder, 'flows-of-another.log'), 'not ours');
    const lines = Array.from({ length: 200 }, (_, i) => `${'x'.repeat(90)} ${String(i).padStart(4, '0')}`);
    for (const line of lines) {
      file.add(line);
      file.flush();
    }
    await file.close();
    const names = readdirSync(folder).filter(name => name !== 'flows.log').sort();
    assert.equal(names.length, 4);
    assert.ok(names.includes('flows-of-another.log'));
    const backups = names.filter(name => name !== 'flows-of-another.log');
    for (const name of backups) assert.match(name, compress ? /^flows-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log\.gz$/ : /^flows-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log$/);
    const text = [...backups.map(name => (compress ? gunzipSync(readFileSync(join(folder, name))).toString() : readFileSync(join(folder, name), 'utf8'))), readOr(path)].join('');
    const kept = text.split('\n').filter(Boolean);
    assert.deepEqual(kept, lines.slice(-kept.length), 'the newest, whole and in order');
    for (const name of backups) if (!compress) assert.ok(readFileSync(join(folder, name)).length <= 1000 + 96);
    assert.equal(file.written, 200);
  });
}

test('what the disk does not take is counted, said, and tried again', async () => {
  const path = join(folder, 'gone/flows.log');
  writeFileSync(join(folder, 'gone'), 'a file where a folder should be');
  const file = new RotatingFile({ path, ...options, random: () => 0 });
  file.add('one');
  file.flush();
  await waitFor('the trouble', () => file.trouble);
  assert.match(file.trouble!, /gone.*(ENOTDIR|EEXIST)/);
  assert.equal(file.lost, 1);
  rmSync(join(folder, 'gone'));
  file.add('two');
  await waitFor('the file', () => {
    file.flush();
    return file.written === 1;
  });
  assert.equal(file.trouble, undefined);
  await file.close();
  assert.equal(readFileSync(path, 'utf8'), 'two\n');
});

test('a full disk costs lines and nothing else', async () => {
  const mount = join(folder, 'small');
  mkdirSync(mount);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'none', mount]);
  try {
    const path = join(mount, 'flows.log');
    const file = new RotatingFile({ path, ...options, random: () => 0 });
    for (let i = 0; i < 100; i++) file.add(`${i} ${'y'.repeat(1000)}`);
    file.flush();
    await waitFor('the trouble', () => file.trouble);
    assert.match(file.trouble!, /ENOSPC/);
    assert.equal(file.written + file.lost, 100);
    // Somebody makes room: the next line begins on its own.
    execFileSync('mount', ['-o', 'remount,size=1m', mount]);
    file.add('after');
    await waitFor('the file', () => {
      file.flush();
      return file.trouble === undefined;
    });
    await file.close();
    assert.equal(readFileSync(path, 'utf8').split('\n').at(-2), 'after');
  } finally {
    execFileSync('umount', [mount]);
  }
});

test('what waits for a slow disk is bounded', async () => {
  const file = new RotatingFile({ path: join(folder, 'flows.log'), ...options, maxWaitingBytes: 1000 });
  for (let i = 0; i < 100; i++) file.add('z'.repeat(99));
  assert.equal(file.lost, 90);
  await file.close();
  assert.equal(file.written, 10);
  assert.equal(file.lost, 90);
});

test('a link is not followed, and nobody else may read the file', async () => {
  const path = join(folder, 'flows.log');
  const secret = join(folder, 'passwd');
  writeFileSync(secret, 'root\n');
  symlinkSync(secret, path);
  const file = new RotatingFile({ path, ...options });
  file.add('evil');
  await file.close();
  assert.equal(readFileSync(secret, 'utf8'), 'root\n');
  assert.equal(file.lost, 1);
  rmSync(path);
  chmodSync(folder, 0o755);
  const other = new RotatingFile({ path, ...options });
  other.add('flow');
  await other.close();
  assert.equal(execFileSync('stat', ['-c', '%a', path], { encoding: 'utf8' }).trim(), '600');
});

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
