import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseSeed } from './test-seed.ts';
import { failuresIn, longTestFiles } from './tests.ts';

test('--long runs every fuzzer of layer 7 and of names, and nothing that takes no more cases than usual', () => {
  const files = longTestFiles();
  const fuzzers = [
    'src/proxy/http1/interleave.test.ts', 'tests/differential/http1.test.ts', 'tests/differential/http1-answers.test.ts', 'tests/differential/http-kernel-hostile.test.ts',
    'src/proxy/http2/fuzz.test.ts', 'src/proxy/http2/hpack.test.ts', 'tests/differential/http2.test.ts',
    'src/proxy/kafka/fuzz.test.ts', 'tests/programs/names-fuzz.test.ts', 'tests/programs/names-tcp.test.ts',
  ];
  assert.deepEqual(fuzzers.filter(file => !files.includes(file)), []);
  assert.ok(!files.includes('src/cli/tests.test.ts') && !files.includes('tests/tidy.test.ts'));
});

test('what failed is found in the runner\'s output, with or without its own list, and is not longer than one reads', () => {
  const list = '✖ failing tests:\n\ntest at src/a.test.ts:3:1\n✖ adds (1.2ms)\n  AssertionError: 1 !== 2\n';
  assert.equal(failuresIn(`✔ fine (1ms)\n  ✖ adds (1.2ms)\nℹ tests 2\nℹ fail 1\n\n${list}`), list.trim());
  assert.equal(failuresIn(`\u001b[31m${list.replace('\n', '\u001b[39m\n')}`), list.trim());
  assert.equal(failuresIn('✔ fine (1ms)\n  ✖ hangs (300000ms)\nℹ fail 0\n'), '✖ hangs (300000ms)');
  assert.equal(failuresIn('✔ fine (1ms)\nℹ fail 0\n'), '');
  const long = failuresIn(list.repeat(1_000).replaceAll('\n✖ failing tests:', ''));
  assert.ok(long.startsWith('✖ failing tests:') && long.endsWith('… and more, above') && long.length < 9_000);
});

test('a usual run is the same each time, a long one a new one, and the one that is asked for is taken', () => {
  assert.equal(chooseSeed(undefined, false), chooseSeed(undefined, false));
  assert.notEqual(chooseSeed(undefined, true), chooseSeed(undefined, true));
  assert.equal(chooseSeed('7', true), 7);
  assert.throws(() => chooseSeed('seven', false), /CIRRI_SEED=seven is no whole number/);
});

test('properties of this run begin with its seed', { skip: process.env['CIRRI_SEED'] === undefined && 'not started by cirri test' }, () => {
  assert.equal(fc.readConfigureGlobal().seed, Number(process.env['CIRRI_SEED']));
});
