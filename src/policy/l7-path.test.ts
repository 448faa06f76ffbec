import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { secondReading } from './l7-path.ts';

test('a path is cleaned up as servers do that do', () => {
  for (const [path, cleaned] of [
    ['/', undefined], ['/a/b?c=/../d', undefined], ['/a.b/..c/.d', undefined], ['/a%20b', undefined], ['*', undefined], ['', undefined],
    ['/a/../b', '/b'], ['/a/./b', '/a/b'], ['/a/..', '/'], ['/a/b/..', '/a/'], ['/a/.', '/a/'], ['//a', '/a'], ['/a///b?x//y', '/a/b?x//y'], ['/%61', '/a'], ['/a%2Fb', '/a/b'], ['/a%5cb', '/a/b'], ['/a\\b', '/a/b'],
    ['/a/%2E%2e/b', '/b'], ['/a/..;x=1/b', '/b'], ['/a/.;/b', '/a/b'],
    ['/..', null], ['/a/../../b', null], ['/%2e%2e/', null], ['/a%00', null],
  ] as const) assert.equal(secondReading(path), cleaned, path);
});

test('what is clean has only one reading', () => {
  const part = fc.constantFrom('a', '.', '..', '', '%2e', '%2f', '\\', '..;x', 'b.c', '%61', '%zz', '%');
  fc.assert(fc.property(fc.array(part, { maxLength: 8 }), fc.option(part), (parts, query) => {
    const cleaned = secondReading(`/${parts.join('/')}${query === null ? '' : `?${query}`}`);
    if (typeof cleaned !== 'string') return;
    const [bare] = cleaned.split('?');
    assert.ok(bare!.startsWith('/') && !/\/\.{1,2}(;[^/]*)?(\/|$)|\/\/|\\/.test(bare!), cleaned);
  }));
});
