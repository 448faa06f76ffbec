import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { namePattern, qualifyName } from './fqdn.ts';
import { buildNameAutomaton, nameColumn, nameColumns } from './name-automaton.ts';
import { endOfLabel } from './name-trie.ts';

// Few letters, so that names hit patterns; the others stand for what is next to them in the table.
const letters = fc.constantFrom('a', 'a', 'b', 'b', 'z', '0', '9', '-', '_');
const labelOf = (letter: fc.Arbitrary<string>, minLength: number) => fc.array(letter, { minLength, maxLength: 5 }).map(all => all.join(''));
const label = labelOf(letters, 1);
const starLabel = labelOf(fc.oneof({ weight: 4, arbitrary: letters }, { weight: 2, arbitrary: fc.constant('*') }), 1);
const firstLabel = fc.oneof(fc.constantFrom('*', '**', '***'), label, starLabel);
const pattern = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom('*', '**', '*.', '**.', '.', '*.*', '**.*', 'a..b', '*..a') },
  { weight: 6, arbitrary: fc.tuple(firstLabel, fc.array(fc.oneof({ weight: 3, arbitrary: label }, starLabel), { maxLength: 3 })).map(([first, rest]) => [first, ...rest].join('.')) },
);
/** Names made of a pattern by filling its stars, and changed here and there. */
const near = (from: string) => fc.tuple(
  fc.array(fc.oneof({ weight: 3, arbitrary: labelOf(letters, 0) }, fc.constantFrom('a.b', '.', 'é', 'a*')), { minLength: 1, maxLength: 4 }),
  fc.nat(40), fc.constantFrom('', '', '', '', 'a', '.', 'b.', '*', ' '), fc.nat(1),
).map(([fill, at, change, cut]) => {
  let star = 0;
  const filled = from.replace(/\*/g, () => fill[star++ % fill.length]!);
  return change === '' ? filled : filled.slice(0, at) + change + filled.slice(at + cut);
});
const text = fc.array(label, { minLength: 0, maxLength: 4 }).map(labels => labels.join('.'));

describe('an automaton of names', () => {
  it('matches what namePattern matches', () => {
    fc.assert(fc.property(
      fc.array(pattern, { minLength: 1, maxLength: 7 }).chain(patterns => fc.record({
        patterns: fc.constant(patterns),
        names: fc.array(fc.oneof(text, ...patterns.map(near)), { minLength: 5, maxLength: 30 }),
      })),
      ({ patterns, names }) => {
        const automaton = buildNameAutomaton(patterns);
        assert.deepEqual(automaton.leftOut, []);
        for (const name of names) {
          const qualified = qualifyName(name);
          const expected = [...new Set(patterns)].filter(one => namePattern(one).test(qualified)).sort();
          assert.deepEqual(automaton.walk(name), expected, `${name} of ${patterns.join(' ')}`);
        }
      },
    ), { numRuns: 3000 });
  });

  it('has a state a character at most for names, *.x and **.x, and matches nothing else than those', () => {
    fc.assert(fc.property(
      fc.array(fc.tuple(fc.constantFrom('', '*.', '**.'), fc.array(label, { minLength: 1, maxLength: 3 })).map(([first, rest]) => first + rest.join('.')), { minLength: 1, maxLength: 60 }),
      patterns => {
        const characters = patterns.reduce((sum, one) => sum + one.length + 1, 0);
        const { states } = buildNameAutomaton(patterns);
        assert.ok(states <= characters + 8, `${states} states of ${characters} characters`);
      },
    ), { numRuns: 500 });
  });

  it('begins in state 1, is dead in state 0, and no byte but of a name leads out of either', () => {
    const { next, states } = buildNameAutomaton(['api.stripe.com', '*.s3.*.amazonaws.com', '**.example.org']);
    assert.ok(next.subarray(0, nameColumns).every(state => state === 0));
    for (let state = 0; state < states; state++) assert.equal(next[state * nameColumns + nameColumns - 1], 0);
    assert.equal(next[nameColumns + endOfLabel], 0);
    assert.deepEqual(['a', 'Z', '0', '9', '-', '_', '.', '*', '\0'].map(one => nameColumn(one.charCodeAt(0))), [0, 25, 26, 35, 36, 37, 38, 39, 39]);
  });

  it('gives names that match the same patterns the same set', () => {
    const { walk } = buildNameAutomaton(['*.example.com', '**.com', 'www.example.com']);
    assert.equal(walk('a.example.com'), walk('b.Example.com.'));
    assert.deepEqual(walk('www.example.com'), ['**.com', '*.example.com', 'www.example.com']);
    assert.deepEqual(walk('a.b.example.com'), ['**.com']);
    assert.deepEqual(walk('example.org'), []);
  });

  it('takes 1,000 names and 100 patterns', () => {
    const names = Array.from({ length: 1000 }, (_, i) => `host-${(i * 7919) % 1000}.service${i % 37}.example${i % 11}.com`);
    const patterns = Array.from({ length: 100 }, (_, i) => [`*.zone${i}.example.net`, `**.deep${i}.example.org`, `*-${i}.cdn.example.com`, `s3.*.region${i}.amazonaws.com`][i % 4]!);
    const { states, leftOut, walk } = buildNameAutomaton([...names, ...patterns]);
    assert.deepEqual(leftOut, []);
    assert.ok(states < 30_000, `${states} states`);
    assert.deepEqual(walk('x.y.deep1.example.org'), ['**.deep1.example.org']);
    assert.deepEqual(walk(names[500]!), [names[500]]);
  });

  it('leaves out the names that it has no room for', () => {
    const names = Array.from({ length: 10_000 }, (_, i) => `name${i}-${(i * 7919) % 9973}.example.com`);
    const { states, leftOut, walk } = buildNameAutomaton([...names, '**.example.org']);
    assert.ok(states <= 65_535 && states > 60_000, `${states}`);
    assert.ok(leftOut.length > 0);
    const without = new Set(leftOut);
    for (const name of names) assert.deepEqual(walk(name), without.has(name) ? [] : [name]);
  });

  it('leaves out patterns that multiply, and keeps the plain ones beside them', () => {
    const hostile = Array.from({ length: 40 }, (_, i) => `*${String.fromCharCode(97 + (i % 26))}${i}*b*c*.x${i}.com`);
    const automaton = buildNameAutomaton(['api.stripe.com', '*.example.com', 'a*.example.org', ...hostile]);
    assert.ok(automaton.states <= 65_535);
    assert.ok(automaton.leftOut.length > 0 && automaton.leftOut.every(one => hostile.includes(one)));
    assert.deepEqual(automaton.walk('api.stripe.com'), ['api.stripe.com']);
    assert.deepEqual(automaton.walk('abc.example.org'), ['a*.example.org']);
    assert.deepEqual(automaton.walk(hostile.find(one => automaton.leftOut.includes(one))!.replaceAll('*', 'x')), []);
  });

  it('leaves out what is no pattern', () => {
    assert.deepEqual(buildNameAutomaton(['a b.com', 'ok.com']).leftOut, ['a b.com']);
  });
});
