import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { L7Record } from '../../flows/l7-record.ts';
import { FrameWriter } from '../../proxy/frame-writer.ts';
import type { Admission } from '../../proxy/host.ts';
import { newFacts, type RequestFacts } from '../../proxy/http/record.ts';
import type { HttpOpinion } from '../../proxy/protocol.ts';
import { RecordLines } from '../../proxy/records.ts';
import { waitFor } from '../../std/async.ts';
import { CirriError } from '../../std/errors.ts';
import { parseAddr } from '../../std/ip.ts';
import { silentLogger } from '../../std/log.ts';
import { connectUnix } from '../../sys/unix.ts';
import { HttpTexts } from '../../flows/http-told.ts';
import { FrameReader } from './frame.ts';
import { L7Listener } from './records.ts';
import { cutRecords } from './stream.ts';
import { takerOfRecords } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-frames-'));
after(() => rmSync(folder, { recursive: true }));

const row = { generation: 1, flags: 0, sourceIdentity: 11, destinationIdentity: 0xffff_fff0, sourceEndpoint: 1, destinationEndpoint: 2, egressL7: 1, ingressL7: 2, egressRule: 71, ingressRule: 72, service: 4 };
const service = (key: number) => (key === 4 ? { ip: '10.96.0.1', port: 80 } : undefined);

function admissions(): Admission[] {
  return ['10.0.0.1', 'fd00::1', '10.0.0.3'].map((client, i) => ({
    client: { addr: parseAddr(client), port: 1000 + i }, server: { addr: parseAddr(client.includes(':') ? 'fd00::2' : '10.0.0.2'), port: 65_535 },
    row: { ...row, service: i === 2 ? 0 : 4 }, layers: {}, protocol: undefined as never,
  }));
}

const text = (longest: number) => fc.oneof(fc.string({ maxLength: longest }), fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: longest }).map(codes => String.fromCharCode(...codes)));
const facts = fc.record({
  method: fc.oneof(fc.constantFrom('GET', 'POST'), text(300)), origin: fc.oneof(fc.constant('http://shop'), text(80)), path: fc.oneof(fc.constant('/'), text(200)),
  protocol: fc.constantFrom('HTTP/1.0', 'HTTP/1.1', 'HTTP/2'), traceId: fc.option(fc.constant('0af7651916cd43dd8448eb211c80319c'), { nil: undefined }),
});
const opinion = (direction: HttpOpinion['direction']) => fc.record({ direction: fc.constant(direction), passes: fc.boolean(), rule: fc.constantFrom(0, 7, 0xffff_ffff) });
const opinions = fc.oneof(fc.tuple(opinion('EGRESS')), fc.tuple(opinion('INGRESS')), fc.tuple(opinion('EGRESS'), opinion('INGRESS')));
const act = fc.oneof(
  { weight: 4, arbitrary: fc.record({ act: fc.constant('request'), on: fc.nat(2), facts, opinions }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('answer'), which: fc.nat(20), status: fc.integer({ min: 100, max: 599 }), latencyUs: fc.double({ min: 0, max: 1e9, noNaN: true }), again: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('other'), on: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('flush') }) },
);

function agent(name: string): { listener: L7Listener; path: string; taken: L7Record[] } {
  const taken: L7Record[] = [];
  const take = (record: L7Record) => void taken.push(record);
  const http = takerOfRecords(take);
  const listener = new L7Listener({ take, http: () => http, service, log: silentLogger });
  const path = join(folder, name);
  listener.listen(path);
  after(() => listener.close());
  return { listener, path, taken };
}

function worker(path: string): RecordLines {
  const records = new RecordLines({ hello: { hello: { pid: process.pid, worker: 0, listeners: [] } } }, { open: () => connectUnix(path), log: silentLogger });
  after(() => records.close());
  return records;
}

/** An agent of before there were frames: what it is sent reaches `path`. */
async function oldAgent(path: string): Promise<string> {
  const server = createServer(socket => {
    socket.write('{"pid":1,"listeners":{}}\n');
    const on = connect(path);
    for (const end of [socket, on]) end.on('error', () => {});
    socket.pipe(on);
  });
  const own = join(folder, 'old.sock');
  await new Promise<void>(resolve => server.listen(own, resolve));
  after(() => server.close());
  return own;
}

test('an agent that understands frames and one that does not are told the same, in the same order', async () => {
  const [framed, lines] = [agent('new.sock'), agent('lines.sock')];
  const [toFramed, toLines] = [worker(framed.path), worker(await oldAgent(lines.path))];
  await waitFor('the agent to say what it understands', () => (toFramed.flush(), toLines.flush(), toFramed.framed), { timeoutMs: 20_000, everyMs: 2 });
  await fc.assert(fc.asyncProperty(fc.array(act, { maxLength: 60 }), async acts => {
    framed.taken.length = lines.taken.length = 0;
    let timeUs = 5e12;
    // Each worker keeps in the facts and in the connection what it has told.
    const workers = [toFramed, toLines].map(records => ({ records, abouts: admissions(), asked: [] as { about: Admission; facts: RequestFacts; opinions: readonly HttpOpinion[] }[] }));
    const before = toFramed.sent;
    for (const each of acts) {
      timeUs += 1.25;
      for (const { records, abouts, asked } of workers) {
        if (each.act === 'flush') records.flush();
        else if (each.act === 'other') records.add(abouts[each.on]!, { verdict: 'DROPPED', direction: 'EGRESS', rule: 0, l7: { type: 'REQUEST', kafka: { apiKey: 'fetch', apiVersion: 4, correlationId: 1, errorCode: 0 } } }, timeUs);
        else if (each.act === 'request') {
          const told = { about: abouts[each.on]!, facts: newFacts({ ...each.facts, askedUs: timeUs }), opinions: each.opinions };
          asked.push(told);
          records.request(told.about, told.facts, told.opinions);
        } else if (asked.length > 0) {
          const of = asked[each.which % asked.length]!;
          of.facts.answeredUs = of.facts.askedUs + each.latencyUs;
          records.answer(of.about, of.facts, each.again ? [...of.opinions] : of.opinions, each.status);
        }
      }
    }
    const wanted = toFramed.sent - before;
    await waitFor('both agents to have all', () => (toFramed.flush(), toLines.flush(), framed.taken.length >= wanted && lines.taken.length >= wanted), { timeoutMs: 20_000, everyMs: 1 });
    assert.deepEqual(framed.taken, lines.taken);
  }), { numRuns: 60 });
  assert.deepEqual([toFramed.lost, toLines.lost, framed.listener.notUnderstood, lines.listener.notUnderstood], [0, 0, 0, 0]);
  assert.equal(toLines.framed, false);
});

function frameOf(count: number): Buffer {
  const buffer = Buffer.alloc(1 << 16);
  const writer = new FrameWriter(buffer);
  const [about] = admissions() as [Admission];
  for (let i = 0; i < count; i++) {
    const one = newFacts({ method: 'GET', origin: 'http://shop', path: `/${i}`, protocol: 'HTTP/1.1', askedUs: i });
    one.answeredUs = i + 1;
    const said = [{ direction: 'INGRESS', passes: true, rule: 7 }] as const;
    if (i % 3 > 0) writer.request(about, one, said);
    writer.answer(about, one, said, 200);
  }
  writer.close();
  return buffer.subarray(0, writer.at);
}

test('a frame that is cut or changed anywhere gives records or is refused, and costs no more than its length', () => {
  const whole = frameOf(6).subarray(5);
  const reader = new FrameReader(service);
  const texts = new HttpTexts();
  const read = (frame: Buffer): number => {
    let count = 0;
    try {
      reader.read(frame, texts, () => count++);
    } catch (error) {
      assert.ok(error instanceof CirriError || error instanceof RangeError, String(error));
    }
    return count;
  };
  assert.equal(read(whole), 10);
  for (let length = 0; length < whole.length; length++) assert.ok(read(whole.subarray(0, length)) <= 10);
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), changes => {
    const frame = Buffer.from(whole);
    for (const [at, byte] of changes) frame[at] = byte;
    assert.ok(read(frame) <= frame.length);
  }), { numRuns: 3000 });
});

test('lines and frames that come in pieces of any size are whole; a length that no worker writes is refused', () => {
  const frame = frameOf(4);
  const all = Buffer.concat([Buffer.from('{"a":1}\n'), frame, Buffer.from('\n'), frame, frame, Buffer.from('{"b":"\u00e9"}\n')]);
  for (const size of [1, 2, 3, 7, 64, all.length]) {
    const got: (string | number)[] = [];
    const take = { line: (line: string) => void got.push(line), frame: (entries: Buffer) => void got.push(entries.length) };
    let done = 0;
    for (let at = 0; at < all.length; at += size) done += cutRecords(all.subarray(done, at + size), take)!;
    assert.equal(done, all.length);
    assert.deepEqual(got, ['{"a":1}', frame.length - 5, '', frame.length - 5, frame.length - 5, '{"b":"é"}']);
  }
  const refused = { line: () => {}, frame: () => assert.fail('it never comes') };
  assert.equal(cutRecords(Buffer.from([1, 0, 0, 0]), refused), 0);
  assert.equal(cutRecords(Buffer.from([1, 0, 0, 0, 1]), refused), undefined);
});
