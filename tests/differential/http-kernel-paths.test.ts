/** Paths that servers may read in two ways: the kernel reads them twice (bpf/lib/http_second_reading.h) and decides as the proxy does. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { deepest, kernelReadsTwice, longestLine } from '../../src/policy/http-second-reading.ts';
import { mayDiffer, secondReading } from '../../src/policy/l7-path.ts';
import { oddPaths } from '../../src/policy/testing-paths.ts';
import { fault } from '../../src/proxy/http1/faults.ts';
import { hasObject } from '../programs/harness.ts';
import { HttpTrial, httpFlag } from '../programs/http-trial.ts';
import { policyOf } from './http-kernel.ts';
import type { Policy } from './http-kernel.ts';

const runs = process.env['CIRRI_LONG'] ? 200_000 : 6000;
const rule = (id: number, path: string, more: Partial<HttpL7Rule> = {}): HttpL7Rule => ({ rule: id, path, headers: [], ...more });

describe('paths with two readings in the kernel', { skip: !hasObject() && 'make -C bpf first' }, () => {
  let trial: HttpTrial;
  before(() => {
    trial = new HttpTrial();
  });
  after(() => trial.close());

  const inKernel = ({ number, ids }: Policy, method: string, path: string, piece?: number): string => {
    const [event] = trial.requests(Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: web\r\n\r\n`, 'latin1'), { set: number, ...(piece !== undefined && { piece }) });
    if (!event || event.kind === 'end') return 'nothing';
    if (event.kind === 'fault') return `fault ${event.fault}`;
    if (event.flags & httpFlag.twoReadings) return 'not read twice';
    return event.passes === 0n ? 'denied' : `rule ${ids[[...event.passes.toString(2)].reverse().indexOf('1')]}`;
  };
  const atProxy = ({ matcher }: Policy, method: string, path: string): string => {
    if (!kernelReadsTwice({ method, path })) return 'not read twice';
    if (secondReading(path) === null) return `fault ${-fault.path}`;
    const { passes, rule: id } = matcher.match({ method, path, host: 'web', header: name => (name === 'host' ? 'web' : undefined) });
    return passes ? `rule ${id}` : 'denied';
  };

  test('pass as at the proxy, by the same rule, however the head is cut', t => {
    const policies = [
      [rule(7, '/a.*')], [rule(7, '/a(/.*)?'), rule(8, '/b.*', { method: 'GET' }), rule(9, '.*', { host: 'other' })], [rule(7, '/[^/]*(\\?.*)?'), rule(8, '/.*', { method: 'PUT' })], [rule(7, '/.*\\.\\..*'), rule(8, '/.*/')], [rule(7, '.*%.*'), rule(8, '/[ab/~_-]*')],
    ].map((rules, i) => policyOf(trial, i + 1, rules));
    const seen = new Map<string, number>();
    fc.assert(fc.property(fc.constantFrom(...policies), fc.constantFrom('GET', 'PUT'), oddPaths(['\xfc']), fc.constantFrom(undefined, 1, 7), (policy, method, path, piece) => {
      const expected = atProxy(policy, method, path);
      seen.set(expected, (seen.get(expected) ?? 0) + (mayDiffer(path) ? 1 : 0));
      assert.equal(inKernel(policy, method, path, piece), expected, `${method} ${path}`);
    }), { numRuns: runs });
    for (const outcome of ['rule 7', 'rule 8', 'denied', 'fault 25']) assert.ok((seen.get(outcome) ?? 0) > runs / 100, `${outcome}: ${seen.get(outcome)}`);
    t.diagnostic([...seen].map(([outcome, count]) => `${count} × ${outcome}`).join(', '));
  });

  test('what is too long or too deep is refused by name, and nothing else for its length', () => {
    const policy = policyOf(trial, 1, [rule(7, '/.*')]);
    const long = (length: number) => `/%20${'a'.repeat(length - 'GET '.length - 4)}`;
    assert.deepEqual([longestLine, longestLine + 1, 5000].map(length => inKernel(policy, 'GET', long(length))), ['rule 7', 'not read twice', 'not read twice']);
    assert.equal(inKernel(policy, 'GET', `/${'a'.repeat(5000)}`), 'rule 7');
    const deep = (slashes: number) => `${'/a'.repeat(slashes)}%20`;
    assert.deepEqual([deepest, deepest + 1].map(slashes => inKernel(policy, 'GET', deep(slashes))), ['rule 7', 'not read twice']);
    assert.equal(inKernel(policy, 'GET', `${'/a'.repeat(deepest - 1)}${'/..'.repeat(deepest - 2)}/../../x`), `fault ${-fault.path}`);
    assert.equal(inKernel(policy, 'GET', `${'/./a/..'.repeat(60)}/x`), 'rule 7');
  });
});
