/**
 * HTTP/1.1 as the kernel reads it against the proxy, over the same bytes and rules:
 *
 *     client's bytes ─┬▶ src/proxy/http1's session ─▶ decisions, answers, bytes to the server ─┐
 *                     └▶ bpf/lib/http_reader.h, whole and cut everywhere ─▶ the same ──────────┴─ must be equal
 *
 * up to the first of the differences that are meant, each of which has a test of its own. CIRRI_SEED repeats a run; `--long` makes
 * millions of requests.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial } from '../programs/http-trial.ts';
import { kernelSeen, policyOf, proxySeen, unlike } from './http-kernel.ts';
import type { Policy } from './http-kernel.ts';
import { answerStreams, answerTemplates, askedFor, kernelAnswers, proxyAnswers } from './http-kernel-answers.ts';
import { kernelStreams, rulesOfTests, templates } from './http-kernel-streams.ts';

const runs = process.env['CIRRI_LONG'] ? 150_000 : 5_000;
const shown = (bytes: Buffer) => JSON.stringify(bytes.toString('latin1'));

describe('HTTP/1.1 in the kernel beside the proxy', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  let policies: readonly Policy[];
  before(() => {
    trial = new HttpTrial();
    policies = rulesOfTests.map((rules, i) => policyOf(trial, i + 1, rules));
  });
  after(() => trial.close());

  test('decisions, answers and what goes on are the same, and do not depend on where the stream is cut', () => {
    const count = { requests: 0, passed: 0, denied: 0, faults: 0, differences: 0 };
    fc.assert(fc.property(kernelStreams, fc.nat(rulesOfTests.length - 1), fc.array(fc.nat(2000), { maxLength: 5 }), (stream, which, cuts) => {
      const policy = policies[which]!;
      const kernel = kernelSeen(trial, stream, policy);
      const proxy = proxySeen(stream.subarray(0, kernel.comparable), policy);
      assert.equal(unlike(kernel, proxy), undefined, shown(stream));
      const places = cuts.filter(cut => cut > 0 && cut < stream.length).sort((a, b) => a - b);
      for (const cut of [{ piece: 1 }, { cuts: places }]) assert.deepEqual(kernelSeen(trial, stream, policy, cut), kernel, `${JSON.stringify(cut)} ${shown(stream)}`);
      count.requests += kernel.events.filter(event => event.kind === 'head').length;
      count.passed += kernel.decided.filter(d => d.startsWith('FORWARDED')).length;
      count.denied += kernel.decided.filter(d => d === 'DROPPED').length;
      count.faults += kernel.events.at(-1)?.kind === 'fault' ? 1 : 0;
      count.differences += kernel.differs === undefined ? 0 : 1;
    }), { numRuns: runs });
    // A fuzzer that reaches nothing finds nothing.
    for (const [what, times] of Object.entries(count)) assert.ok(times > runs / (what === 'differences' ? 500 : 50), `${what}: ${times} of ${runs} streams`);
    if (process.env['CIRRI_LONG']) console.log(JSON.stringify(count));
  });

  test('any byte in any place of a request', () => {
    for (const stream of everyByteOf(templates)) {
      const kernel = kernelSeen(trial, stream, policies[2]!);
      assert.equal(unlike(kernel, proxySeen(stream.subarray(0, kernel.comparable), policies[2]!)), undefined, shown(stream));
    }
  });

  test('answers: statuses, what the client gets, and the end', () => {
    const count = { answers: 0, ends: 0, faults: 0 };
    fc.assert(fc.property(answerStreams, askedFor, fc.array(fc.nat(1000), { maxLength: 5 }), (stream, asked, cuts) => {
      const kernel = kernelAnswers(trial, stream, asked);
      const { statuses, toClient, over } = kernel;
      const proxy = proxyAnswers(stream.subarray(0, kernel.comparable), asked);
      const about = `${asked.join()} ${shown(stream)} ${JSON.stringify(kernel.events.map(e => ({ ...e, passes: undefined })))}`;
      if (kernel.comparable === stream.length) assert.deepEqual({ statuses, toClient, over }, proxy, about);
      else assert.deepEqual({ statuses, toClient }, { statuses: proxy.statuses, toClient: proxy.toClient }, about);
      const places = cuts.filter(cut => cut > 0 && cut < stream.length).sort((a, b) => a - b);
      for (const cut of [{ piece: 1 }, { cuts: places }]) assert.deepEqual(kernelAnswers(trial, stream, asked, cut), kernel, `${JSON.stringify(cut)} ${about}`);
      count.answers += statuses.length;
      count.ends += over ? 1 : 0;
      count.faults += kernel.events.at(-1)?.kind === 'fault' ? 1 : 0;
    }), { numRuns: runs });
    for (const [what, times] of Object.entries(count)) assert.ok(times > runs / 10, `${what}: ${times} of ${runs} streams`);
    if (process.env['CIRRI_LONG']) console.log(JSON.stringify(count));
  });

  test('any byte in any place of an answer', () => {
    for (const stream of everyByteOf(answerTemplates)) {
      const { statuses, toClient, over } = kernelAnswers(trial, stream, ['plain', 'plain']);
      assert.deepEqual({ statuses, toClient, over }, proxyAnswers(stream, ['plain', 'plain']), shown(stream));
    }
  });
});

function* everyByteOf(texts: readonly string[]): Generator<Buffer> {
  for (const text of texts) {
    for (let at = 0; at < text.length; at++) {
      for (let byte = 0; byte < 256; byte++) {
        const stream = Buffer.from(text, 'latin1');
        stream[at] = byte;
        yield stream;
      }
    }
  }
}
