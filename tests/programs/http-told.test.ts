/** What records of requests and answers say, whatever their texts are: short ones are copied in words, one over the end of the other. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { httpEventCodec } from '../../src/datapath/generated/structs.ts';
import { maps as specs } from '../../src/datapath/generated/maps.ts';
import { RingBuffer } from '../../src/ebpf/ring.ts';
import { isHttpRecord } from '../../src/flows/http-events.ts';
import { compileHttpRules } from '../../src/policy/l7-match.ts';
import type { Datapath } from './harness.ts';
import { families, hasObject } from './harness.ts';
import { HttpByHand } from './http-hand.ts';
import { KernelBox, readHere, restrictedDatapath } from './http-kernel-box.ts';

const rules = [{ rule: 41, path: '/.*', headers: [] }];
const matcher = compileHttpRules(rules);
const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const answer = 'HTTP/1.1 204 No Content\r\nX-Answer: 0\r\n\r\n';

interface Told {
  readonly method: string;
  readonly url: string;
  readonly host: string;
  readonly trace: string;
  readonly status: number;
  readonly rule: number;
  readonly exchange: number;
  readonly flags: number;
  readonly size: number;
}

describe('what is told of requests and answers', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let datapath: Datapath;
  let ring: RingBuffer;
  let port = 1024;
  before(() => {
    datapath = restrictedDatapath(rules);
    ring = RingBuffer.open({ fd: datapath.maps.flowEvents.fd, maxEntries: specs.flowEvents.maxEntries });
    readHere(datapath);
  });
  after(() => {
    ring.close();
    datapath.close();
  });

  const told = (): Told[] => {
    const records: Told[] = [];
    ring.drain((bytes, offset, length) => {
      const record = new Uint8Array(bytes.buffer, bytes.byteOffset + offset, length).slice();
      if (!isHttpRecord(new DataView(record.buffer), 0, length)) return;
      const event = httpEventCodec.decode(record);
      let at = httpEventCodec.size;
      const next = (size: number): string => Buffer.from(record.subarray(at, at += size)).toString('latin1');
      assert.deepEqual([event.event.length, event.event.match, event.event.tcpFlags, event.event.icmpType, event.event.icmpCode, event.event.end], [0, 0, 0, 0, 0, 0]);
      assert.deepEqual([event.event.service, event.event.servicePort], [new Uint8Array(16), 0]);
      records.push({
        method: next(event.methodLength), url: next(event.urlLength), host: next(event.hostLength), trace: next(event.traceLength),
        status: event.status, rule: event.event.rule, exchange: event.exchange, flags: event.event.flags, size: length,
      });
    });
    return records;
  };

  const ask = (o: { readonly method: number; readonly url: number; readonly host: number; readonly traced: boolean }): readonly [Told, Told] => {
    const method = 'GETTINGSOMETHINGLONGERTHANANYBODYWOULD'.slice(0, o.method), url = `/${'0123456789abcdef'.repeat(40)}`.slice(0, o.url), host = 'h-o.s.t-'.repeat(20).slice(0, o.host - 1).concat('x');
    const connection = new HttpByHand(new KernelBox(datapath, families[++port & 1]!, port), matcher).open();
    // What the ring has been used for before must not be seen.
    told();
    connection.client(0, `${method} ${url} HTTP/1.1\r\nHost: ${host}\r\n${o.traced ? `traceparent: ${trace}\r\n` : ''}\r\n`);
    connection.answer(answer);
    assert.deepEqual(connection.faults(), []);
    const records = told();
    assert.equal(records.length, 2);
    const [request, answered] = records as [Told, Told];
    const { size, flags, ...texts } = request;
    assert.deepEqual(texts, { method: method.slice(0, 32), url: url.slice(0, Math.min(512, 512 - o.method - 1)), host: host.slice(0, 128), trace: o.traced ? trace : '', status: 0, rule: 41, exchange: 0 });
    const { size: answerSize, flags: answerFlags, ...rest } = answered;
    assert.deepEqual(rest, { method: '', url: '', host: '', trace: '', status: 204, rule: 41, exchange: 0 });
    assert.equal((answerFlags & 1) - (flags & 1), 1, 'the answer is the reply');
    assert.equal(answerSize, httpEventCodec.size);
    return [request, answered];
  };

  test('texts of every length around the sizes of records, with a trace and without', () => {
    const sizes = new Set<number>();
    for (const method of [1, 3, 7, 8, 9, 31, 32, 33]) {
      for (const url of [1, 18, 47, 48, 49, 127, 128, 129, 500]) {
        for (const host of [1, 31, 32, 33, 55, 56, 57, 127, 128, 129]) {
          for (const traced of [false, true]) sizes.add(ask({ method, url, host, traced })[0].size);
        }
      }
    }
    // Two sizes for most, and whatever it takes for others.
    const fixed = [136 + 88, 136 + 248];
    assert.ok(fixed.every(size => sizes.has(size)) && sizes.size > 50, [...sizes].join(' '));
  });
});
