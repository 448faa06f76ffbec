import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HeaderL7Match, HttpL7Rule } from '../model/l7.ts';
import { compileHttpRules, viewOf } from './l7-match.ts';
import type { HttpView } from './l7-match.ts';

const rule = (number: number, fields: Omit<Partial<HttpL7Rule>, 'rule'> = {}): HttpL7Rule => ({ rule: number, headers: [], ...fields });
const get = (path: string, headers: Record<string, string> = {}, host?: string) => viewOf({ method: 'GET', path, headers, ...(host !== undefined && { host }) });

describe('HTTP rules', () => {
  test('all of a rule must hold, and any rule will do', () => {
    const matcher = compileHttpRules([rule(1, { method: 'GET', path: '/a' }), rule(2, { method: 'POST', path: '/b', host: 'x\\.y' })]);
    assert.deepEqual(pick(matcher.match(get('/a'))), [true, 1]);
    assert.deepEqual(pick(matcher.match(get('/b'))), [false, 0]);
    assert.deepEqual(pick(matcher.match(viewOf({ method: 'POST', path: '/b', host: 'x.y' }))), [true, 2]);
    assert.deepEqual(pick(matcher.match(viewOf({ method: 'POST', path: '/b', host: 'xzy' }))), [false, 0]);
    assert.deepEqual(pick(matcher.match(viewOf({ method: 'POST', path: '/b' }))), [false, 0]);
    assert.equal(compileHttpRules([rule(1, { host: '.*' })]).match(get('/')).passes, false, 'there is no host');
    assert.equal(compileHttpRules([rule(1, { path: '.*' })]).match(viewOf({ method: 'CONNECT', path: '', host: 'a:1' })).passes, false, 'there is no path');
  });

  test('no rules let nothing pass, an empty rule everything', () => {
    assert.deepEqual(pick(compileHttpRules([]).match(get('/'))), [false, 0]);
    assert.deepEqual(pick(compileHttpRules([rule(7)]).match(get('/any?thing'))), [true, 7]);
  });

  test('a header by name is presence, with a value exactly that; several of one name are joined', () => {
    const present = compileHttpRules([rule(1, { headers: [{ name: 'X-Token' }] })]);
    const exact = compileHttpRules([rule(1, { headers: [{ name: 'content-type', value: 'application/json' }] })]);
    assert.deepEqual(present.headerNames, ['x-token']);
    assert.equal(present.match(get('/', { 'x-token': '' })).passes, true);
    assert.equal(present.match(get('/')).passes, false);
    assert.equal(exact.match(get('/', { 'Content-Type': 'application/json' })).passes, true);
    assert.equal(exact.match(get('/', { 'Content-Type': 'application/json; charset=utf-8' })).passes, false);
    assert.equal(exact.match(get('/', { 'Content-Type': 'application/json,application/json' })).passes, false);
  });

  test('values beyond ASCII are compared as the bytes of UTF-8', () => {
    const matcher = compileHttpRules([rule(1, { headers: [{ name: 'x', value: 'grün' }] })]);
    const view: HttpView = { method: 'GET', path: '/', host: '', header: () => Buffer.from('grün').toString('latin1') };
    assert.equal(matcher.match(view).passes, true);
    assert.deepEqual(compileHttpRules([rule(1, { headers: [{ name: 'x', value: 'ü'.repeat(300_000) }] })]).faults, [], 'however long');
  });

  test('an expression that RE2 does not take never matches, and is told', () => {
    const matcher = compileHttpRules([rule(3, { path: '*' }), rule(4, { path: '/ok' })]);
    assert.equal(matcher.match(get('/x')).passes, false);
    assert.deepEqual(pick(matcher.match(get('/ok'))), [true, 4]);
    assert.equal(matcher.faults.length, 1);
    assert.equal(matcher.faults[0]!.rule, 3);
  });
});

describe('paths that servers read in two ways', () => {
  test('must match in both, and a refusal names the reading that does not', () => {
    const matcher = compileHttpRules([rule(1, { path: '/public.*' })]);
    for (const [path, passes] of [['/public/a', true], ['/public/../private', false], ['/public/%2e%2e/x', false], ['/public/..%2Fx', false], ['/public//x', true], ['//public', false], ['/%70ublic', false], ['/../x', false], ['/public/%00', false], ['/public/..;a/x', false], ['/public\\..\\x', false], ['/public?/../x', true], ['/public/a%20b', true], ['/public/.hidden', true]] as const) {
      assert.equal(matcher.match(get(path)).passes, passes, path);
    }
    assert.deepEqual(matcher.nearest(get('/public/../private')), { rule: 1, index: 0, field: 'path', wanted: '/public.*', actual: '/private' });
    assert.equal(matcher.nearest(get('/../private'))?.wanted, 'a path below the root');
  });
});

describe('header matches', () => {
  const matchOf = (fields: Partial<HeaderL7Match>, ...more: HttpL7Rule[]) => compileHttpRules([rule(1, { path: '/a', headers: [{ name: 'x', value: '1', ...fields }] }), ...more]);

  test('LOG lets pass and tells', () => {
    const matcher = matchOf({ mismatch: 'LOG' });
    assert.equal(matcher.mutates, false);
    assert.deepEqual(matcher.match(get('/a', { x: '2' })), { passes: true, rule: 1, mutations: [], notes: [{ kind: 'missing', name: 'x', value: '1' }] });
    assert.deepEqual(matcher.match(get('/a', { x: '1' })), { passes: true, rule: 1, mutations: [], notes: [] });
    assert.equal(matcher.match(get('/b', { x: '1' })).passes, false);
  });

  test('ADD adds beside what is there, DELETE takes the wrong one away, REPLACE sets it', () => {
    const outcome = (mismatch: 'ADD' | 'DELETE' | 'REPLACE', headers: Record<string, string>) => matchOf({ mismatch }).match(get('/a', headers));
    assert.deepEqual(outcome('ADD', { x: '2' }).mutations, [{ op: 'add', name: 'x', value: '1' }]);
    assert.deepEqual(outcome('ADD', { x: '1' }).mutations, []);
    assert.deepEqual(outcome('DELETE', { x: '2' }), { passes: true, rule: 1, mutations: [{ op: 'delete', name: 'x' }], notes: [{ kind: 'rejected', name: 'x', value: '2' }] });
    assert.deepEqual(outcome('DELETE', {}), { passes: true, rule: 1, mutations: [], notes: [] });
    assert.deepEqual(outcome('REPLACE', { x: '2' }), {
      passes: true, rule: 1, mutations: [{ op: 'replace', name: 'x', value: '1' }],
      notes: [{ kind: 'rejected', name: 'x', value: '2' }, { kind: 'missing', name: 'x', value: '1' }],
    });
    assert.deepEqual(outcome('REPLACE', {}).notes, [{ kind: 'missing', name: 'x', value: '1' }]);
  });

  test('what one rule has changed the next one sees, and the first that holds is the one that decided', () => {
    const matcher = compileHttpRules([
      rule(1, { headers: [{ name: 'x', value: '1', mismatch: 'REPLACE' }, { name: 'y' }] }),
      rule(2, { headers: [{ name: 'x', value: '1' }] }),
      rule(3),
    ]);
    const answer = matcher.match(get('/', { x: '2' }));
    assert.deepEqual(pick(answer), [true, 2]);
    assert.deepEqual(answer.mutations, [{ op: 'replace', name: 'x', value: '1' }]);
  });

  test('a refused request is not changed', () => {
    const answer = compileHttpRules([rule(1, { headers: [{ name: 'x', value: '1', mismatch: 'ADD' }, { name: 'y' }] })]).match(get('/'));
    assert.deepEqual([answer.passes, answer.mutations], [false, []]);
  });

  test('what would make another message of the request never matches, and is told', () => {
    for (const header of [{ name: 'Content-Length', value: '1' }, { name: 'transfer-encoding', value: 'chunked' }, { name: 'host', value: 'x' }, { name: 'x', value: '1\r\ny: 2' }, { name: 'x', value: '1\n' }, { name: 'x y', value: '1' }]) {
      const matcher = compileHttpRules([rule(1, { headers: [{ ...header, mismatch: 'ADD' }] })]);
      assert.equal(matcher.faults.length, 1, header.name);
      assert.equal(matcher.match(get('/')).passes, false);
    }
  });

  test("a Secret's value is never told, and one that could not be read never matches", () => {
    const matcher = matchOf({ value: 'hunter2', secret: true, mismatch: 'REPLACE' });
    const answer = matcher.match(get('/a', { x: 'guess' }));
    assert.deepEqual(answer.mutations, [{ op: 'replace', name: 'x', value: 'hunter2' }]);
    assert.ok(!JSON.stringify(answer.notes).includes('hunter2') && !JSON.stringify(answer.notes).includes('guess'));
    const condition = matchOf({ value: 'hunter2', secret: true });
    assert.ok(!JSON.stringify(condition.nearest(get('/a', { x: 'guess' }))).includes('hunter2'));
    assert.equal(matcher.nearest(get('/b'))?.field, 'path');
    for (const mismatch of ['LOG', 'ADD', 'DELETE', 'REPLACE', undefined] as const) {
      const absent = compileHttpRules([rule(1, { headers: [{ name: 'x', missing: true, secret: true, ...(mismatch && { mismatch }) }] })]);
      assert.equal(absent.match(get('/', { x: '1' })).passes, false, mismatch ?? 'none');
    }
  });
});

describe('the nearest rule', () => {
  test('is the one of which most holds, with the field that does not', () => {
    const matcher = compileHttpRules([
      rule(1, { method: 'POST', path: '/a' }),
      rule(2, { method: 'GET', path: '/a', headers: [{ name: 'x', value: '1' }] }),
      rule(3, { path: '/b' }),
    ]);
    assert.deepEqual(matcher.nearest(get('/a', { x: '2' })), { rule: 2, index: 1, field: 'header', name: 'x', wanted: '1', actual: '2' });
    assert.deepEqual(matcher.nearest(viewOf({ method: 'PUT', path: '/a' })), { rule: 1, index: 0, field: 'method', wanted: 'POST', actual: 'PUT' });
    assert.equal(compileHttpRules([]).nearest(get('/')), undefined);
  });
});

function pick(answer: { passes: boolean; rule: number }): [boolean, number] {
  return [answer.passes, answer.rule];
}
