import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { writeRows } from './write.ts';

/** A reader that takes a chunk a turn of the event loop, and knows how much was waiting for it. */
class Slow extends Writable {
  text = '';
  mostWaiting = 0;

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.mostWaiting = Math.max(this.mostWaiting, this.writableLength);
    this.text += chunk.toString();
    setImmediate(done);
  }
}

function* rows(count: number): Generator<{ readonly n: number }> {
  for (let n = 0; n < count; n++) yield { n };
}

test('a slow reader holds the writer up: what waits is one piece, however long the table is', async () => {
  const slow = new Slow();
  await writeRows(rows(200_000), { json: false, header: 'N', text: ({ n }) => `row ${n}` }, slow);
  await new Promise(resolve => slow.end(resolve as () => void));
  assert.equal(slow.text.split('\n').length, 200_002);
  assert.ok(slow.mostWaiting < 200_000, String(slow.mostWaiting));
});

test('JSON is one document, also of nothing', async () => {
  for (const count of [0, 1, 30_000]) {
    const slow = new Slow();
    await writeRows(rows(count), { json: true, text: () => '' }, slow);
    await new Promise(resolve => slow.end(resolve as () => void));
    assert.equal((JSON.parse(slow.text) as unknown[]).length, count);
  }
});
