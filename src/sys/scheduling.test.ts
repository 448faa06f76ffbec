import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';

const [major = 0, minor = 0] = release().split('.').map(Number);
const hasSlices = (major > 6 || (major === 6 && minor >= 12)) && /^se\.slice\s/m.test(readFileSync('/proc/self/sched', 'utf8'));

test('a thread that takes short turns has the shortest slice, and the niceness that it had', { skip: hasSlices ? false : 'the kernel does not tell of slices' }, () => {
  const script = `
    import { getPriority } from 'node:os';
    import { readFileSync } from 'node:fs';
    import { takeShortTurns } from '${new URL('./scheduling.ts', import.meta.url).pathname}';
    console.log(JSON.stringify({ taken: takeShortTurns(), slice: Number(/^se\\.slice\\s*:\\s*(\\d+)/m.exec(readFileSync('/proc/self/sched', 'utf8'))[1]), nice: getPriority() }));`;
  const told = execFileSync('nice', ['-n', '3', process.execPath, '--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.deepEqual(JSON.parse(told), { taken: true, slice: 100_000, nice: 3 });
});
