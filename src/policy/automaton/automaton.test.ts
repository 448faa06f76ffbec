import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RE2JS } from 're2js';
import { buildAutomaton, walk } from './automaton.ts';
import { parseExpression, UnsupportedExpression } from './expression.ts';

function matches(expressions: readonly string[], text: string): readonly boolean[] {
  const automaton = buildAutomaton(expressions.map(parseExpression));
  assert.ok(automaton);
  const bits = walk(automaton, Buffer.from(text));
  return expressions.map((_, i) => (bits >> BigInt(i) & 1n) === 1n);
}

const re2 = (expression: string, text: string) => RE2JS.compile(expression).matches(text);

test('expressions of policies', () => {
  const cases: readonly (readonly [expression: string, yes: readonly string[], no: readonly string[]])[] = [
    ['/api/v1/products.*', ['/api/v1/products', '/api/v1/products/7?a=1', '/api/v1/productsX'], ['/api/v1/product', 'x/api/v1/products']],
    ['/api/v1/payments$', ['/api/v1/payments'], ['/api/v1/payments/1', '/api/v1/payments?x']],
    ['GET|POST', ['GET', 'POST'], ['GETPOST', 'PUT', '']],
    ['(?i)get', ['get', 'GeT'], ['gets']],
    ['/a{2,3}b?', ['/aa', '/aaab'], ['/a', '/aaaa']],
    ['/x{,3}', ['/x{,3}'], ['/xxx']],
    ['[[:alpha:]]+\\d\\.[^a-c/]', ['ab1.d'], ['ab1.b', 'ab1xd', '1.d']],
    ['\\Q.*\\E+', ['.*', '.**'], ['ab']],
    ['^$|(^/a$)', ['', '/a'], ['/ab']],
    ['a^b', [], ['ab', 'a^b']],
    ['(a+)+$', ['aaaa'], ['aaab']],
    ['(?:)', [''], ['x']],
    ['.*\\.example\\.com(:[0-9]+)?', ['a.example.com:80', '.example.com'], ['aXexample.com']],
    ['(?i:a)B', ['aB', 'AB'], ['ab']],
    ['[\\]\\-x-z]', [']', '-', 'y'], ['w']],
    ['\\x41\\x{42}\\101', ['ABA'], ['aba']],
    ['é+', ['é', 'éé'], ['e', '']],
  ];
  for (const [expression, yes, no] of cases) {
    for (const text of [...yes, ...no]) {
      assert.equal(re2(expression, text), yes.includes(text), `RE2: ${expression} on ${text}`);
      assert.deepEqual(matches([expression], text), [yes.includes(text)], `${expression} on ${text}`);
    }
  }
});

test('what only an engine with tables of Unicode or look-around can do is refused by name', () => {
  for (const expression of ['\\pL', '[\\p{Greek}]', '\\bword\\b', '\\C', '[é]', '(?i)é']) assert.throws(() => parseExpression(expression), UnsupportedExpression, expression);
});

const letters = fc.constantFrom('a', 'b', 'c', '/', '.', '-', '1');
const leaf = fc.oneof(
  letters.map(letter => (letter === '.' ? '\\.' : letter)), fc.constantFrom('.', '[ab]', '[^a/]', '\\d', '\\w', '[[:digit:]]', '(?i:B)', '^', '$', '[a-c1-]'),
);
const { expression } = fc.letrec<{ expression: string; piece: string }>(tie => ({
  piece: fc.oneof({ maxDepth: 4, withCrossShrink: true }, leaf, tie('expression').map(inner => `(${inner})`),
    fc.tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{2}', '{1,3}', '{0,}', '*?')).map(([inner, repeat]) => `(?:${inner})${repeat}`),
    fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `(?:${a}|${b})`)),
  expression: fc.oneof({ maxDepth: 4 }, leaf, fc.array(tie('piece'), { maxLength: 4 }).map(parts => parts.join(''))),
}));

test('one expression or several at once: as RE2 says', () => {
  fc.assert(fc.property(fc.array(expression, { minLength: 1, maxLength: 5 }), fc.array(fc.array(letters, { maxLength: 8 }).map(all => all.join('')), { minLength: 1, maxLength: 8 }), (expressions, texts) => {
    const automaton = buildAutomaton(expressions.map(parseExpression));
    assert.ok(automaton);
    for (const text of texts) {
      const bits = walk(automaton, Buffer.from(text));
      expressions.forEach((each, i) => assert.equal((bits >> BigInt(i) & 1n) === 1n, re2(each, text), `${each} on "${text}"`));
    }
  }), { numRuns: 1500 });
});

test('limits are kept before they hurt', () => {
  assert.equal(buildAutomaton([parseExpression('(.*){1000}'), parseExpression('((a{100}){100}){100}')]), undefined);
  assert.equal(buildAutomaton([parseExpression('.*a.{12}')], { maxStates: 1000 }), undefined);
  const literals = Array.from({ length: 64 }, (_, i) => `/api/v1/resource-${i}/.*`);
  const automaton = buildAutomaton(literals.map(parseExpression))!;
  assert.ok(automaton.states < 64 * 25);
  assert.equal(walk(automaton, Buffer.from('/api/v1/resource-63/x')), 1n << 63n);
  assert.equal(buildAutomaton([...literals, 'x'].map(parseExpression)), undefined);
});
