import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KernelError, check, errnoName, errnoNumber, isErrno } from './errno.ts';
import { openFd } from './file.ts';

test('errors name the errno, the call and what was being done', () => {
  assert.throws(() => openFd('/nonexistent/file'), (error: unknown) => {
    assert.ok(error instanceof KernelError);
    assert.equal(error.errno, 'ENOENT');
    assert.equal(error.syscall, 'open');
    assert.match(error.message, /opening \/nonexistent\/file: no such file or directory \(ENOENT from open\)/);
    return true;
  });
});

test('errors know the numbers that BPF uses', () => {
  assert.deepEqual([7, 28, 17, 1, 11, 95, 524, 9999].map(errnoName), ['E2BIG', 'ENOSPC', 'EEXIST', 'EPERM', 'EAGAIN', 'EOPNOTSUPP', 'ENOTSUPP', 'ERRNO_9999']);
});

test('check passes results through', () => assert.equal(check(5, 'x', 'y'), 5));

test('names and numbers go both ways; only a KernelError has an errno', () => {
  assert.equal(errnoNumber('ENOSPC'), 28);
  assert.equal(errnoNumber('ENONSENSE'), undefined);
  assert.equal(isErrno(new Error('ENOSPC'), 'ENOSPC'), false);
});
