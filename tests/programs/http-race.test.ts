/**
 * Two processors at one HTTP/1.1 connection in the kernel: the same segment in two versions, and both directions at once. However they meet, what
 * the model of the connection sees must fit together.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { Datapath } from './harness.ts';
import { families, hasObject } from './harness.ts';
import { HttpByHand } from './http-hand.ts';
import type { ByHand } from './http-hand.ts';
import { KernelBox, markToReader, readers, restrictedDatapath } from './http-kernel-box.ts';
import { race } from './race.ts';
import type { Lap } from './race.ts';

const rules = [{ rule: 1, path: '/public.*', headers: [] }];
const matcher = compileHttpRules(rules);
const rounds = process.env['CIRRI_LONG'] ? 10_000 : 150;
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
/** As long as each other. */
const good = get('/public/1'), evil = get('/no/evil1');
const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Answer: 0\r\n\r\nok');

interface Lane {
  readonly box: KernelBox;
  readonly connection: HttpByHand;
}

for (const reader of readers) describe(`two processors at one connection, segments are ${reader.name}`, { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let port = 1024;
  before(() => {
    datapath = restrictedDatapath(rules);
    reader.choose(datapath);
  });
  after(() => datapath.close());

  const open = (): Lane => {
    const box = new KernelBox(datapath, families[port & 1]!, ++port);
    return { box, connection: new HttpByHand(box, matcher).open() };
  };

  const toPod = ({ box, connection }: Lane, at: number, text: string, o: ByHand = {}): Lap => {
    const sent = connection.segmentOf('client', at, text, o);
    connection.model.clientSent(sent);
    const atDevice = reader.program === 'http_to_pod';
    return { fd: datapath.program(reader.program).fd, mark: atDevice ? markToReader : 0, frame: atDevice ? box.arriving(sent) : box.sending(sent) };
  };

  test('a head in two versions: the server sees one of them at most', async () => {
    const lanes = Array.from({ length: rounds }, open);
    const results = await race(lanes.map(lane => [toPod(lane, 0, good), toPod(lane, 0, evil)] as const));
    for (const [i, both] of results.entries()) {
      const { box, connection } = lanes[i]!;
      for (const result of both) connection.seen(box.after(reader.program, result));
      // Either of them again: none may find a place that it had not.
      connection.client(0, evil);
      connection.client(0, good);
      assert.deepEqual(connection.faults(), [], `round ${i}`);
      assert.ok(connection.atServer === '' || connection.atServer === good, JSON.stringify(connection.atServer));
    }
    assert.ok(results.some(([one]) => one.verdict !== 2) && results.some(([, other]) => other.verdict !== 2), 'both came first at times');
  });

  test('a denial of ours and bytes of the server\'s at once: neither lands on the other', async () => {
    const lanes = Array.from({ length: rounds }, open);
    for (const { connection } of lanes) {
      connection.client(0, good);
      connection.answer(answer.toString('latin1'), { ack: good.length });
    }
    const interim = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Answer: 1\r\n\r\n');
    const results = await race(lanes.map(lane => {
      const { box, connection } = lane;
      const more = box.leaving(connection.segmentOf('server', answer.length, interim, { ack: good.length }));
      return [toPod(lane, good.length, evil, { ack: answer.length }), { fd: datapath.program('http_from_pod').fd, mark: 0, frame: more }] as const;
    }));
    let answered = 0;
    for (const [i, [denied, more]] of results.entries()) {
      const { box, connection } = lanes[i]!;
      connection.model.serverWrote(interim, true);
      connection.model.serverSent(connection.segmentOf('server', answer.length, interim, { ack: good.length }));
      connection.seen(box.after(reader.program, denied));
      connection.seen(box.after('http_from_pod', more));
      assert.deepEqual(connection.faults(), [], `round ${i}`);
      if (connection.atClient.includes('403')) answered++;
    }
    assert.ok(answered > 0, 'none was answered');
  });
});
