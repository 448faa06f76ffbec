import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longTestFiles } from './tests.ts';

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
