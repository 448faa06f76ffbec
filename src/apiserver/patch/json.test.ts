import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Json } from '../object.ts';
import { ApiError } from '../status.ts';
import { applyJsonPatch } from './json.ts';

const cases: readonly (readonly [name: string, document: Json, patch: Json, result: Json])[] = [
  ['add sets a field', { a: 1 }, [{ op: 'add', path: '/b', value: 2 }], { a: 1, b: 2 }],
  ['add replaces a field that is there', { a: 1 }, [{ op: 'add', path: '/a', value: 2 }], { a: 2 }],
  ['add inserts into a list', { a: [1, 3] }, [{ op: 'add', path: '/a/1', value: 2 }], { a: [1, 2, 3] }],
  ['add appends with -', { a: [1] }, [{ op: 'add', path: '/a/-', value: 2 }], { a: [1, 2] }],
  ['add of null sets null', { a: 1 }, [{ op: 'add', path: '/b', value: null }], { a: 1, b: null }],
  ['remove takes a field away', { a: 1, b: 2 }, [{ op: 'remove', path: '/b' }], { a: 1 }],
  ['remove takes a list item away', { a: [1, 2, 3] }, [{ op: 'remove', path: '/a/1' }], { a: [1, 3] }],
  ['replace changes a list item', { a: [1, 2] }, [{ op: 'replace', path: '/a/0', value: 9 }], { a: [9, 2] }],
  ['replace of the whole', { a: 1 }, [{ op: 'replace', path: '', value: { b: 1 } }], { b: 1 }],
  ['move', { a: { b: 1 }, c: {} }, [{ op: 'move', from: '/a/b', path: '/c/d' }], { a: {}, c: { d: 1 } }],
  ['copy is independent', { a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }, { op: 'replace', path: '/c/b', value: 2 }], { a: { b: 1 }, c: { b: 2 } }],
  ['test lets equal values pass, whatever the order of keys', { a: { x: 1, y: [2] } }, [{ op: 'test', path: '/a', value: { y: [2], x: 1 } }], { a: { x: 1, y: [2] } }],
  ['escapes ~1 and ~0', { 'a/b': 1, 'c~d': 2 }, [{ op: 'replace', path: '/a~1b', value: 3 }, { op: 'remove', path: '/c~0d' }], { 'a/b': 3 }],
];

for (const [name, document, patch, result] of cases) {
  test(name, () => {
    const before = JSON.stringify(document);
    assert.deepEqual(applyJsonPatch(document, patch), result);
    assert.equal(JSON.stringify(document), before, 'the document itself is not changed');
  });
}

const refused: readonly (readonly [name: string, patch: Json, code: number])[] = [
  ['test of another value', [{ op: 'test', path: '/a', value: 2 }], 422],
  ['remove of nothing', [{ op: 'remove', path: '/x' }], 422],
  ['replace of nothing', [{ op: 'replace', path: '/x', value: 1 }], 422],
  ['add below nothing', [{ op: 'add', path: '/x/y', value: 1 }], 422],
  ['an index beyond the list', [{ op: 'add', path: '/l/9', value: 1 }], 422],
  ['an index with a leading zero', [{ op: 'replace', path: '/l/00', value: 1 }], 422],
  ['a value below a number', [{ op: 'add', path: '/a/b', value: 1 }], 422],
  ['move into itself', [{ op: 'move', from: '/o', path: '/o/x' }], 422],
  ['an unknown operation', [{ op: 'merge', path: '/a' }], 400],
  ['a path without a slash', [{ op: 'add', path: 'a', value: 1 }], 400],
  ['no value', [{ op: 'add', path: '/a' }], 400],
  ['__proto__', [{ op: 'add', path: '/__proto__/x', value: 1 }], 400],
  ['no list', { op: 'add' }, 400],
];

for (const [name, patch, code] of refused) {
  test(`refuses ${name} with ${code}`, () => {
    assert.throws(() => applyJsonPatch({ a: 1, l: [1], o: {} }, patch), (error: unknown) => error instanceof ApiError && error.code === code);
  });
}

test('a failed operation leaves the document as it was', () => {
  const document = { a: { b: [1] } };
  assert.throws(() => applyJsonPatch(document, [{ op: 'add', path: '/a/b/-', value: 2 }, { op: 'test', path: '/a', value: 0 }]));
  assert.deepEqual(document, { a: { b: [1] } });
});

test('whatever comes, the answer is a document or a refusal', () => {
  const operation = fc.record({ op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'x'), path: fc.constantFrom('', '/', '/a', '/a/0', '/a/-', '/b/c', '/b', '//', '/a/01', 'z'), from: fc.constantFrom('', '/a', '/b', '/b/c', '/a/1'), value: fc.jsonValue() as fc.Arbitrary<Json> }, { requiredKeys: ['op', 'path'] });
  fc.assert(fc.property(fc.array(operation, { maxLength: 5 }), operations => {
    try {
      applyJsonPatch({ a: [1, { x: 2 }], b: { c: 'd' } }, operations as unknown as Json);
    } catch (error) {
      assert.ok(error instanceof ApiError, String(error));
    }
  }), { numRuns: 1000 });
});
