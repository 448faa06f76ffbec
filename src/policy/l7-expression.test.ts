import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { compileExpression, expressionFault, largestProgram } from './l7-expression.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);

describe('expressions of HTTP rules', () => {
  test('the whole text must match, and case counts', () => {
    for (const [expression, yes, no] of [
      ['/public', ['/public'], ['/publi', '/public/', '/Public', '/public?a=1', '']],
      ['/api/v1/products.*', ['/api/v1/products', '/api/v1/productsXYZ', '/api/v1/products/1?x=2'], ['/api/v1/product', 'x/api/v1/products', '/api/v1/products\n']],
      ['GET|HEAD', ['GET', 'HEAD'], ['GETHEAD', 'get', 'GE', 'HEADX']],
      ['^/a$', ['/a'], ['/a/', '//a', '/a\n']],
      ['(?i)get', ['GET', 'gEt'], ['GEX']],
      ['/items/[0-9]+', ['/items/1', '/items/1234'], ['/items/', '/items/1a']],
      ['a.b.com', ['a.b.com', 'aXb.com'], ['a.b.com:80']],
      ['/\\d+\\b.*', ['/12', '/12/x', '/1-'], ['/12x', '/']],
      ['', [''], ['a']],
      ['(?s).*', ['', '\n\n', 'x'], []],
      ['(?m)a$\\n^b', ['a\nb'], ['ab', 'a\n\nb']],
      ['\\Qa.b\\E', ['a.b'], ['axb']],
    ] as const) {
      const { matches } = bound(expression);
      for (const text of yes) assert.equal(matches(text), true, `${expression} ~ ${JSON.stringify(text)}`);
      for (const text of no) assert.equal(matches(text), false, `${expression} !~ ${JSON.stringify(text)}`);
    }
  });

  test('what RE2 lacks, and what is too large, is refused with its reason', () => {
    for (const [expression, words] of [
      ['*', /missing argument|repetition/], ['(', /missing/], ['a{1001}', /repeat/], ['(?=a)b', /invalid|unsupported|perl/i], ['(?<=a)b', /lookbehind|invalid/i], ['(a)\\1', /escape/],
      ['(a{100}){100}', /repeat|large/], [`(?:${[...'abcdefg'].map(c => `${c}{900}`).join('|')})`, new RegExp(`at most ${largestProgram}`)], ['a'.repeat(5000), /5000 characters/],
    ] as const) assert.match(expressionFault(expression) ?? 'none', words, expression.slice(0, 40));
    assert.equal(expressionFault('/a/(b|c)*'), undefined);
  });

  test('a text with anything outside of ASCII matches nothing', () => {
    for (const expression of ['.*', '(?s).*', '[^a]*', 'ü', '\\x{fc}']) assert.equal(compileExpression(expression).matches('ü'), false, expression);
  });

  test('answers are those of re2js for random expressions and texts', () => {
    fc.assert(fc.property(expressions, fc.array(texts, { minLength: 1, maxLength: 12 }), (expression, samples) => {
      const oracle = oracleOf(expression);
      if (oracle === undefined) return assert.notEqual(expressionFault(expression), undefined);
      const { matches } = bound(expression);
      // Twice: with states that are made, and with states that are known.
      for (const text of [...samples, ...samples]) assert.equal(matches(text), oracle(text), `${expression} ~ ${JSON.stringify(text)}`);
    }), { numRuns: runs * 5 });
  });

  test('all states at once answer like states made on demand', () => {
    fc.assert(fc.property(expressions, fc.array(texts, { maxLength: 8 }), (expression, samples) => {
      if (oracleOf(expression) === undefined) return;
      const compiled = compileExpression(expression);
      const table = compiled.table(500);
      if (table === undefined) return;
      for (const text of samples) {
        let state: number = table.start;
        for (const char of text) state = table.next[state * table.classes + table.classOf[char.charCodeAt(0)]!]!;
        assert.equal(table.accepting[state] === 1, compiled.matches(text), `${expression} ~ ${JSON.stringify(text)}`);
      }
    }), { numRuns: runs });
  });

  describe('no expression takes more than its share of time', () => {
    const hostile = ['(a+)+$', '(a|aa)+', '(.*){50}x', '(a?){60}a{60}', '((a*)*)*b', '.*a.{25}', '(x+x+)+y', '([a-z]+)*\\d', '(.*)(.*)(.*)(.*)(.*)=', '(?:a|b|ab)*c', '.*.*.*.*.*.*x.{12}y'];
    const bait = (length: number) => ['a', 'ab', 'x', 'aab'].map(unit => unit.repeat(length / unit.length));
    for (const expression of hostile) {
      test(expression, () => {
        // Work is counted, not timed: twice the text is at most twice the work, and a little for the states.
        const workOf = (length: number) => bait(length).map(text => {
          const compiled = compileExpression(expression);
          const before = compiled.work;
          compiled.matches(text);
          return compiled.work - before;
        });
        const short = workOf(3000);
        const long = workOf(6000);
        long.forEach((work, i) => assert.ok(work <= short[i]! * 2.2 + 2000, `${work} after ${short[i]}`));
      });
    }

    test('texts that come again cost nothing but look-ups', () => {
      const compiled = compileExpression('/api/v[0-9]+/(users|items)/[^/]+(/.*)?');
      const text = '/api/v12/users/abc/def';
      assert.equal(compiled.matches(text), true);
      const before = compiled.work;
      for (let i = 0; i < 100; i++) compiled.matches(text);
      assert.equal(compiled.work, before);
    });

    test('one text has a bound even where states are made and forgotten at each byte', () => {
      const compiled = compileExpression(`.*a(?:${[...'cdefg'].map((c, i) => `.{${700 + i}}${c}`).join('|')})`);
      const before = compiled.work;
      let random = 1;
      const text = Array.from({ length: 65_536 }, () => ((random = (random * 1103515245 + 12345) & 0x7fffffff) & 0x40000 ? 'a' : 'b')).join('');
      assert.equal(compiled.matches(text), false);
      assert.ok(compiled.work - before < 1_100_000, String(compiled.work - before));
    });
  });
});

function bound(expression: string) {
  const compiled = compileExpression(expression);
  return { matches: (text: string) => compiled.matches(text) };
}

function oracleOf(expression: string): ((text: string) => boolean) | undefined {
  if (expressionFault(expression) !== undefined) return undefined;
  const compiled = RE2JS.compile(expression);
  return text => compiled.matches(text);
}

const atom = fc.oneof(
  fc.constantFrom('a', 'b', '/', 'ab', '.', '[ab]', '[^a]', '\\d', '\\w', '\\W', '\\s', '[a-c/]', '\\.', '[[:alpha:]]', '\\b', '\\B', '^', '$', '\\A', '\\z', '(?i:a)', '(?s:.)', '(?m:^)', '(?m:$)', '\\n', '-', '_', '0', '\\pL', '[^\\d/]', '(?i)[k-s]'),
  fc.constantFrom('é', '\\x{100}', '[^\\x00-\\x7f]'),
);
const expressions = fc.oneof(
  fc.letrec<{ node: string }>(tie => ({
    node: fc.oneof({ depthSize: 'medium', withCrossShrink: true },
      atom,
      fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
      fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(${a}|${b})`),
      fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '*?', '{2}', '{1,3}', '{0,2}?')).map(([a, r]) => `(?:${a})${r}`),
    ),
  })).node,
  fc.string({ unit: fc.constantFrom(...'ab/.*+?()[]|\\^$-{1,}'), maxLength: 10 }),
);
const texts = fc.string({ unit: fc.constantFrom(...'aabbAcK/..-_0 9\n\t'), maxLength: 14 });
