import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compileBpf } from '../btf/fixture.ts';
import { parseElf } from '../btf/elf.ts';
import { btfOf } from '../btf/generate.ts';
import { layoutOf } from '../btf/layout.ts';
import type { HeaderL7Match, HttpL7Rule } from '../model/l7.ts';
import { combine, leastStates, ofExpression } from './http-automata.ts';
import { httpNames } from './http-names.ts';
import { httpLayout, httpLimits } from './http-rows.ts';
import { compileHttpTables, tablesOfSet } from './http-tables.ts';
import { compileExpression, expressionFault } from './l7-expression.ts';
import { compileHttpRules } from './l7-match.ts';
import { deepest, longestLine, nowhere, secondReadingBy, tooDeep } from './http-second-reading.ts';
import { secondReading } from './l7-path.ts';
import { roomOf, viewOfWalked, walkHttpTables, walkName } from './testing-http-tables.ts';
import type { WalkedRequest } from './testing-http-tables.ts';
import { oddPaths } from './testing-paths.ts';

const runs = Number(process.env['CIRRI_PROPERTY_RUNS'] ?? 400);

const rule = (id: number, fields: Omit<Partial<HttpL7Rule>, 'rule'> = {}): HttpL7Rule => ({ rule: id, headers: [], ...fields });
const get = (path: string, headers: readonly (readonly [string, string])[] = []): WalkedRequest => ({ method: 'GET', path, host: 'shop', headers: [['Host', 'shop'], ...headers] });

function tablesOf(rules: readonly HttpL7Rule[]): Buffer {
  const compiled = compileHttpTables(rules);
  assert.ok('tables' in compiled, 'unfit' in compiled ? compiled.unfit : '');
  return compiled.tables;
}

function unfit(rules: readonly HttpL7Rule[]): string {
  const compiled = compileHttpTables(rules);
  return 'unfit' in compiled ? compiled.unfit : 'fits';
}

const answer = (tables: Buffer, request: WalkedRequest) => walkHttpTables(tables, request).rule;

describe('tables of HTTP rules', () => {
  test('say what the rules say, and which of them', () => {
    const tables = tablesOf([
      rule(11, { method: 'GET', path: '/items/[0-9]+' }),
      rule(12, { method: 'PUT', path: '/items/.*', headers: [{ name: 'x-token' }] }),
      rule(13, { host: 'admin\\.shop', headers: [{ name: 'X-Team', value: 'blue' }] }),
    ]);
    assert.equal(answer(tables, get('/items/7')), 11);
    assert.equal(answer(tables, get('/items/7a')), 0);
    assert.equal(answer(tables, { ...get('/items/7a'), method: 'PUT' }), 0);
    assert.equal(answer(tables, { ...get('/items/7a', [['X-TOKEN', '']]), method: 'PUT' }), 12);
    const admin = { ...get('/any', [['x-team', 'blue']]), host: 'admin.shop' };
    assert.equal(answer(tables, admin), 13);
    assert.equal(answer(tables, { ...admin, headers: [...admin.headers, ['X-team', 'blue']] }), 0, 'twice is "blue,blue"');
    assert.equal(answer(tables, { ...admin, host: '' }), 0);
  });

  test('no rules let nothing pass, an empty rule everything, a rule with a fault nothing', () => {
    assert.equal(answer(tablesOf([]), get('/')), 0);
    assert.equal(answer(tablesOf([rule(1)]), get('/\xfc')), 1);
    assert.equal(answer(tablesOf([rule(1, { path: '*' }), rule(2, { path: '/ok' })]), get('/ok')), 2);
    assert.equal(answer(tablesOf([rule(1, { path: '*' })]), get('/ok')), 0);
    assert.equal(answer(tablesOf([rule(1, { headers: [{ name: 'x', missing: true, secret: true }] })]), get('/', [['x', '']])), 0);
  });

  test('without a path or a host no expression of it holds', () => {
    const tables = tablesOf([rule(1, { path: '.*' }), rule(2, { host: '.*' }), rule(3, { method: 'HEAD' })]);
    const bare = { method: 'GET', path: '', host: '', headers: [] };
    assert.equal(answer(tables, bare), 0);
    assert.equal(answer(tables, { ...bare, host: 'x' }), 2);
    assert.equal(answer(tables, { ...bare, path: '/' }), 1);
    assert.equal(answer(tables, { ...bare, method: 'HEAD' }), 3);
    // The rows where path and host begin say so too: a reader that finds an empty text needs no case of its own.
    const cell = (row: number) => tables.readUInt16LE(httpLayout.cells + 2 * (row + tables.readUInt16LE(httpLayout.columns)));
    for (const [start, absent] of [[httpLayout.path, httpLayout.noPath], [httpLayout.host, httpLayout.noHost]] as const) {
      assert.equal(tables.readBigUInt64LE(httpLayout.masks + 8 * cell(tables.readUInt16LE(start))), tables.readBigUInt64LE(absent));
    }
  });

  test('say which names a reader may pass over, and whether the host matters', () => {
    const said = (rules: readonly HttpL7Rule[]) => {
      const tables = tablesOf(rules);
      return { initials: tables.readUInt32LE(httpLayout.initials).toString(2), asksHost: tables.readUInt32LE(httpLayout.asksHost) };
    };
    const withField = (...names: readonly string[]) => rule(1, { headers: names.map(name => ({ name })) });
    assert.deepEqual(said([rule(1, { method: 'GET', path: '/x.*' })]), { initials: '0', asksHost: 0 });
    assert.deepEqual(said([]), { initials: '0', asksHost: 0 });
    assert.deepEqual(said([withField('Cookie', 'Authorization'), rule(2)]), { initials: '101', asksHost: 0 });
    assert.deepEqual(said([withField('_x', '1', 'z')]), { initials: '10000010000000000000000000000000', asksHost: 0 });
    assert.equal(said([rule(1, { host: 'a' }), rule(2)]).asksHost, 1);
    assert.equal(said([withField(':authority')]).asksHost, 1);
    assert.equal(said([rule(1, { headers: [{ name: ':authority', value: 'a' }] })]).asksHost, 1);
  });

  test('where the host does not matter, its automaton stays where it begins', () => {
    fc.assert(fc.property(rules, list => {
      const compiled = compileHttpTables(list);
      if ('unfit' in compiled || compiled.tables.readUInt32LE(httpLayout.asksHost) !== 0) return;
      const { tables } = compiled;
      const start = tables.readUInt16LE(httpLayout.host);
      for (let column = 0; column < tables.readUInt16LE(httpLayout.columns); column++) assert.equal(tables.readUInt16LE(httpLayout.cells + 2 * (start + column)), start);
    }), { numRuns: runs });
  });

  test('several conditions on one header must all hold; values are bytes', () => {
    const two = (...headers: HeaderL7Match[]) => tablesOf([rule(1, { headers })]);
    assert.equal(answer(two({ name: 'x', value: 'a' }, { name: 'X', value: 'b' }), get('/', [['x', 'a']])), 0);
    assert.equal(answer(two({ name: 'x' }, { name: 'X', value: 'b' }), get('/', [['x', 'b']])), 1);
    assert.equal(answer(two({ name: 'x', value: '' }), get('/', [['x', 'b']])), 1);
    assert.equal(answer(two({ name: 'x', value: 'grün' }), get('/', [['x', Buffer.from('grün').toString('latin1')]])), 1);
    assert.equal(answer(two({ name: 'x', value: 'a,b' }), get('/', [['x', 'a'], ['y', ''], ['X', 'b']])), 1);
    assert.equal(answer(two({ name: ':method', value: 'GET' }, { name: ':authority' }, { name: ':path', value: '/a' }), get('/a')), 1);
    assert.equal(answer(two({ name: ':authority', value: 'other' }), get('/a')), 0);
  });

  test('names of fields are known in any case of letters', () => {
    const tables = tablesOf([rule(1, { headers: [{ name: 'x-a' }, { name: 'host' }] })]);
    for (const [name, kind] of Object.entries(httpNames)) assert.deepEqual(walkName(tables, name.toUpperCase()), { kind, field: name === 'host' ? 1 : -1 });
    assert.deepEqual(walkName(tables, 'X-a'), { kind: 0, field: 0 });
    for (const name of ['', 'x', 'x-', 'x-aa', 'hos', 'hostt', 'content_length', 'xhost', '\xfc']) assert.deepEqual(walkName(tables, name), { kind: 0, field: -1 }, name);
  });

  test('rules that ask the same are one, and the first is named', () => {
    const tables = tablesOf([...Array.from({ length: 100 }, (_, i) => rule(i + 1, { path: '/a' })), rule(500, { path: '/b' })]);
    assert.equal(tables.readUInt16LE(httpLayout.ruleCount), 2);
    assert.deepEqual([answer(tables, get('/a')), answer(tables, get('/b'))], [1, 500]);
  });
});

describe('what the kernel cannot do', () => {
  test('is told in words', () => {
    const many = (count: number, make: (i: number) => Omit<Partial<HttpL7Rule>, 'rule'>) => Array.from({ length: count }, (_, i) => rule(i + 1, make(i)));
    assert.equal(unfit(many(64, i => ({ path: `/a${i}` }))), 'fits');
    assert.equal(unfit(many(75, i => ({ path: `/a${i}` }))), '75 rules; the kernel takes 64');
    assert.equal(unfit(many(16, i => ({ headers: [{ name: `x-${i}` }] }))), 'fits');
    assert.equal(unfit(many(17, i => ({ headers: [{ name: `x-${i}` }] }))), '17 header fields; the kernel takes 16');
    for (const mismatch of ['ADD', 'DELETE', 'REPLACE'] as const) assert.equal(unfit([rule(1, { headers: [{ name: 'x', value: '1', mismatch }] })]), `only the proxy changes header x (${mismatch})`);
    assert.match(unfit([rule(1, { headers: [{ name: 'x', value: '1', mismatch: 'LOG' }] })]), /only the proxy tells/);
    assert.match(unfit([rule(1, { path: `/${'ab'.repeat(800)}` })]), /^the expression \/abab.*… has more than 1022 states$/);
    assert.match(unfit([rule(1, { headers: [{ name: 'x', value: 'v'.repeat(5000) }] })]), /has 5000 bytes/);
    assert.match(unfit([rule(1, { headers: [{ name: 'x'.repeat(5000) }] })]), /have 5000 bytes together/);
    assert.match(unfit(many(3, i => ({ path: `/${'abc'[i]!.repeat(1000)}` }))), /^the automaton of paths needs more than the \d+ rows/);
    assert.match(unfit([rule(1, { path: `/${'a'.repeat(1000)}` }), rule(2, { host: 'b'.repeat(1000), method: 'c'.repeat(1000) })]), /^its automata need \d+ rows \(\d+ of names of fields, 1002 of methods, 1003 of paths, 1002 of hosts\); there is room for \d+$/);
    assert.match(unfit(many(20, i => ({ path: `/.*${i}x.*` }))), /^the automaton of paths/);
    assert.match(unfit(many(11, i => (i === 10 ? { host: 'x' } : { path: `/.*${'abcdefghijk'[i]}.*` }))), /^\d+ combinations of rules; the kernel takes 1024$/);
    assert.equal(unfit(many(60, i => ({ path: `/${i}${'x'.repeat(2000)}` }))), 'its expressions have more than 65536 characters');
    const set = { protocol: 'http', rules: [rule(1)], kernel: true } as const;
    assert.ok('tables' in tablesOfSet(set));
    assert.ok('unfit' in tablesOfSet({ ...set, tls: { serverNames: ['a'] } }));
    assert.ok('unfit' in tablesOfSet({ protocol: 'dns', rules: [] }));
  });

  test('is found soon, whatever the expressions', () => {
    const hostile = ['(a+)+$', '(a|aa)+', '(.*){50}x', '(a?){60}a{60}', '((a*)*)*b', '.*a.{25}', '.*a.{8}', '(.*)(.*)(.*)(.*)(.*)=', '.*.*.*.*.*.*x.{12}y', '(\\pL{1,30}\\b\\W){20}', '((a?b?c?d?){20}){10}'];
    for (const expression of hostile) {
      for (const rules of [[rule(1, { path: expression })], Array.from({ length: 16 }, (_, i) => rule(i + 1, { path: `${expression}${i}`, host: `${i}${expression}`, method: `x${i}(${expression})y` }))]) {
        const compiled = compileHttpTables(rules);
        if ('unfit' in compiled) assert.ok(compiled.unfit.length < 300);
      }
    }
  });
});

// ---- against the matcher ----

const piece = fc.constantFrom('/', 'a', 'b', 'ab', '.', '.*', '[ab]', '[^/]+', '(a|/b)', 'a?', '\\d+', '\\b', '(?i)x', '0', '$', '^', '\\.', '-', '*', '(');
const expression = fc.array(piece, { maxLength: 5 }).map(parts => parts.join(''));
const text = (units: string) => fc.string({ unit: fc.constantFrom(...units), maxLength: 4 });
const value = fc.constantFrom('', 'a', 'b', 'ab', 'a,b', 'a,a', 'grün', 'x'.repeat(20));
const name = fc.constantFrom('x', 'X-Y', 'x-yy', 'host', 'Connection', 'traceparent', ':path', ':authority', ':method', 'no token');
const header: fc.Arbitrary<HeaderL7Match> = fc.record({ name, value, missing: fc.constant(true) }, { requiredKeys: ['name'] }).map(h => (h.missing && h.name !== 'x' ? { name: h.name } : h as HeaderL7Match));
const rules = fc.array(fc.record({
  rule: fc.nat(1000).map(id => id + 1),
  method: fc.constantFrom('GET', 'GET|PUT', 'P.*', '', '[A-Z]+'),
  path: fc.oneof(expression.map(e => `/${e}`), fc.constantFrom('/.*', '/[ab]*')), host: fc.oneof(expression, fc.constantFrom('.*', '[ab.]+')),
  headers: fc.array(header, { maxLength: 2 }),
}, { requiredKeys: ['rule', 'headers'] }), { maxLength: 6 });
const request: fc.Arbitrary<WalkedRequest> = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST', 'P', 'get'),
  path: fc.oneof(oddPaths().map(p => p.slice(1)), text('ab'), text('/ab0.x-\xfc'), text('/ab%2e\\?.')).map(t => `/${t}`),
  host: text('ab.0-X'),
  headers: fc.array(fc.tuple(fc.constantFrom('x', 'X', 'x-y', 'X-YY', 'Connection', 'TraceParent', 'other'), fc.oneof(value, fc.constant(Buffer.from('grün').toString('latin1')))), { maxLength: 4 }),
}).map(r => (r.host === '' ? r : { ...r, headers: [...r.headers, ['HOST', r.host] as const] }));

test('any rules and requests: the tables let pass what the rules do, by the same rule', () => {
  let fits = 0;
  let passed = 0;
  fc.assert(fc.property(rules, fc.array(request, { minLength: 1, maxLength: 20 }), (list, requests) => {
    const compiled = compileHttpTables(list as HttpL7Rule[]);
    if ('unfit' in compiled) return;
    fits++;
    const matcher = compileHttpRules(list as HttpL7Rule[]);
    for (const asked of requests) {
      const walked = walkHttpTables(compiled.tables, asked);
      const { passes, rule: decided } = matcher.match(viewOfWalked(asked));
      if (passes) passed++;
      // Rules of one id twice, and those that ask the same, have the first one's name.
      assert.deepEqual(walked, { passes, rule: decided }, JSON.stringify(asked));
    }
  }), { numRuns: runs * 3 });
  assert.ok(fits > runs && passed > runs, `${fits} sets of rules, ${passed} requests passed`);
});

test('a path is read a second time as it would be cleaned', () => {
  fc.assert(fc.property(oddPaths(), path => {
    const text = secondReadingBy(path, '', (read, byte) => read + String.fromCharCode(byte));
    const cleaned = secondReading(path);
    assert.equal(text, cleaned === null ? nowhere : cleaned ?? path, path);
  }), { numRuns: runs * 20 });
  const deep = '/a'.repeat(deepest - 1);
  assert.equal(secondReadingBy(`${deep}/..`, 0, () => 1), 1);
  assert.equal(secondReadingBy(`${deep}/a/..`, 0, () => 1), tooDeep);
  const tables = tablesOf([rule(1)]);
  const long = `/%20${'a'.repeat(longestLine)}`;
  assert.deepEqual([long.slice(0, longestLine - 4), long].map(p => answer(tables, get(p))), [1, 0]);
});

test('whatever the rules are made of, it is tables or a reason', () => {
  const anything = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ maxLength: 20 }), fc.constantFrom('', '\ud800', 'ü'.repeat(300_000), '(?i)\\pL{1,50}', '__proto__'));
  const line = { rule: fc.nat(), method: anything, path: anything, host: anything };
  const list = fc.array(fc.record({ ...line, headers: fc.array(fc.record({ name: anything, value: anything }, { requiredKeys: ['name'] }), { maxLength: 3 }) }, { requiredKeys: ['rule', 'headers'] }), { maxLength: 4 });
  fc.assert(fc.property(list, any => {
    const compiled = compileHttpTables(any as HttpL7Rule[]);
    if ('tables' in compiled) assert.equal(compiled.tables.length, httpLayout.size);
    else assert.ok(compiled.unfit !== '');
  }), { numRuns: runs });
});

test('conditions combined have the least states without being made so', () => {
  fc.assert(fc.property(fc.uniqueArray(expression, { minLength: 1, maxLength: 4 }), list => {
    const all = (1n << BigInt(list.length)) - 1n;
    const leaves = list.flatMap((e, i) => {
      const table = expressionFault(e) === undefined ? compileExpression(e).table(200) : undefined;
      return table ? [ofExpression(table, all, all & ~(1n << BigInt(i)))] : [];
    });
    const combined = combine(leaves, 5000, { left: 1_000_000 });
    if (combined) assert.equal(combined.masks.length, leastStates(combined).masks.length);
  }), { numRuns: runs });
});

test('what docs/policy/l7.md says of how much fits', () => {
  const words = ['users', 'items', 'orders', 'carts', 'bills', 'stock', 'admin', 'search', 'products', 'sessions', 'payments', 'invoices', 'customers', 'reports', 'health', 'metrics'];
  const many = (count: number, make: (i: number, word: string) => Omit<Partial<HttpL7Rule>, 'rule'>) => Array.from({ length: count }, (_, i) => rule(i + 1, make(i, words[i & 15]!)));
  const api = tablesOf(many(64, i => ({ method: ['GET', 'POST', 'PUT|PATCH', 'DELETE'][i & 3]!, path: `/api/v1/${words[i >> 2]}(/[0-9a-f-]+)?(\\?.*)?` })));
  assert.deepEqual(roomOf(api), { taken: 238, all: 1423 });
  assert.equal(answer(api, { ...get('/api/v1/orders/12-ab?x=1'), method: 'PUT' }), 11);
  assert.equal(answer(api, { ...get('/api/v1/orders/12-xy?x=1'), method: 'PUT' }), 0);
  assert.deepEqual(roomOf(tablesOf(many(64, (i, word) => ({ path: `/service/${word}/endpoint-${i}/details` })))), { taken: 960, all: 1309 });
  const anywhere = (count: number) => many(count, (_, word) => ({ path: `.*/${word}/.*` }));
  assert.deepEqual(roomOf(tablesOf(anywhere(4))), { taken: 265, all: 1984 });
  assert.match(unfit(anywhere(8)), /^the automaton of paths needs more than the \d+ rows/);
});

test('the layout is the header\'s', () => {
  const header = readFileSync(new URL('../../bpf/lib/http.h', import.meta.url), 'utf8');
  const types = header.slice(header.indexOf('#define HTTP_RULES'), header.indexOf('struct http_set_map'));
  const fixture = compileBpf(`${types}\nstruct http_set http_set; enum http_name http_name;`);
  try {
    const btf = btfOf(parseElf(readFileSync(fixture.path)));
    const layout = layoutOf(btf, btf.variable('http_set')!.type);
    assert.ok(layout.kind === 'struct');
    const offset = (field: string) => layout.fields.find(f => f.name === field)!.offset;
    const [fields, ruleIds, masks, cells] = ['fields', 'rules', 'masks', 'cells'].map(field => layout.fields.find(f => f.name === field)!.layout);
    assert.ok(fields?.kind === 'array' && fields.element.kind === 'struct' && ruleIds?.kind === 'array' && masks?.kind === 'array' && cells?.kind === 'array');
    assert.deepEqual({ rules: ruleIds.length, fields: fields.length, masks: masks.length, cells: cells.length }, httpLimits);
    const [start, absent] = ['start', 'absent'].map(field => (fields.element.kind === 'struct' ? fields.element.fields.find(f => f.name === field)!.offset : -1));
    assert.deepEqual(httpLayout, {
      columns: offset('columns'), method: offset('method'), path: offset('path'), host: offset('host'), names: offset('names'), fieldCount: offset('field_count'), ruleCount: offset('rule_count'),
      noPath: offset('no_path'), noHost: offset('no_host'), fields: offset('fields'), fieldSize: fields.element.size, fieldStart: start, fieldAbsent: absent,
      rules: offset('rules'), masks: offset('masks'), classOf: offset('class_of'), cells: offset('cells'),
      initials: offset('initials'), asksHost: offset('asks_host'), size: layout.size,
    });
    const kinds = btf.types.find(t => t.kind === 'enum' && t.name === 'http_name');
    assert.ok(kinds?.kind === 'enum');
    const named = kinds.values.map(v => [v.name.replace('HTTP_NAME_', '').toLowerCase().replaceAll('_', '-'), Number(v.value)] as const).filter(([, kind]) => kind !== 0);
    assert.deepEqual(Object.fromEntries(named), httpNames);
  } finally {
    fixture.remove();
  }
});
