import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { LabelSet } from '../../model/labels.ts';
import { nameColumn, nameColumns } from '../../policy/name-automaton.ts';
import { parseAddr } from '../../std/ip.ts';
import type { Logger } from '../../std/log.ts';
import { livingIdentities, scanAddresses } from './addresses.ts';
import { DnsNames, nameIdentities } from './names.ts';
import { NameStore } from './numbers.ts';
import { anyNameClass } from './rules.ts';
import { plainPut } from './testing.ts';

const directory = mkdtempSync(join(tmpdir(), 'names-'));
after(() => rmSync(directory, { recursive: true }));
let files = 0;

/** An engine that selects these names. */
class FakeEngine {
  fqdns: string[] = [];
  dns: string[] = [];
  nameRevision = 0;
  readonly identities = new Map<number, readonly string[]>();

  select(fqdns: string[], dns: string[] = []): void {
    this.fqdns = fqdns;
    this.dns = dns;
    this.nameRevision++;
  }

  fqdnSelectors(): string[] {
    return this.fqdns;
  }

  nameSelectors(): string[] {
    return [...new Set([...this.fqdns, ...this.dns])].sort();
  }

  upsertIdentity(id: number, labels: LabelSet): void {
    this.identities.set(id, labels.array);
  }

  removeIdentity(id: number): void {
    this.identities.delete(id);
  }
}

/** A node's kernel and disk, which outlive the agent. */
function node() {
  const maps = {
    nameAutomaton: BpfMap.create(specs.nameAutomaton), nameRules: BpfMap.create({ ...specs.nameRules, maxEntries: 512 }), nameAddresses: BpfMap.create({ ...specs.nameAddresses, maxEntries: 1024 }),
  };
  const file = join(directory, `${++files}.json`);
  const errors: string[] = [];
  const log: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: (message: string) => void errors.push(message) } as unknown as Logger;
  let nowSeconds = 1_000;
  let work = 0;
  let inUse: boolean | undefined;
  const put = plainPut(maps.nameAddresses, () => nowSeconds);
  return {
    maps, file, errors, put,
    get inUse() { return inUse; },
    get work() { return work; },
    wait: (seconds: number) => { nowSeconds += seconds; },
    agent: (engine: FakeEngine) => new DnsNames({ maps, store: new NameStore(file), engine, log, put, setInUse: value => { inUse = value; }, onWork: () => work++, nowSeconds: () => nowSeconds }),
    /** As a packet walks. */
    walk: (name: string) => {
      using map = BpfMap.openById(specs.nameAutomaton.inner!, maps.nameAutomaton.lookup(0) ?? 0);
      let state = map?.lookup(1);
      for (const character of name === '' ? '' : `${name}.`) state = map!.lookup(state!.next[nameColumn(character.charCodeAt(0))]!);
      return { class: state?.class ?? 0, identity: state?.identity ?? 0 };
    },
    mayAsk: (l7: number, name: { readonly class: number }) => (maps.nameRules.lookup({ l7, class: name.class }) ?? maps.nameRules.lookup({ l7, class: anyNameClass }))?.rule,
    scan: () => scanAddresses(maps.nameAddresses, nowSeconds, AbortSignal.timeout(10_000)),
    get now() { return nowSeconds; },
    columns: nameColumns,
  };
}

function pass(names: DnsNames, sets: readonly number[] = []): void {
  names.refresh();
  names.commit();
  names.retire(new Set(sets));
}

describe('DNS names in the kernel', () => {
  it('gives a name the class of its patterns and the identity of its toFQDNs, which the engine knows', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select(['api.stripe.com', '*.stripe.com'], ['*.example.org', 'api.stripe.com']);
    const names = kernel.agent(engine);
    pass(names);
    const both = kernel.walk('api.stripe.com');
    const one = kernel.walk('www.stripe.com');
    assert.deepEqual(engine.identities.get(both.identity), ['fqdn:*.stripe.com', 'fqdn:api.stripe.com', 'reserved:world']);
    assert.deepEqual(engine.identities.get(one.identity), ['fqdn:*.stripe.com', 'reserved:world']);
    assert.ok(both.identity >= nameIdentities.first && both.identity <= nameIdentities.last);
    assert.notEqual(both.class, one.class);
    assert.equal(kernel.walk('a.example.org').identity, 0);
    assert.notEqual(kernel.walk('a.example.org').class, 0);
    assert.deepEqual(kernel.walk('stripe.com'), { class: 0, identity: 0 });
    assert.equal(names.identityOf('WWW.stripe.com.'), one.identity);
    assert.match(names.status().detail, /^3 selectors, \d+ states of 65,535, 2 identities/);
  });

  it('lets a set ask for what it has a pattern of, before and after the automaton changes', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select([], ['a.com', '*.b.com']);
    const names = kernel.agent(engine);
    names.refresh();
    names.allow(7, { protocol: 'dns', rules: [{ rule: 70, pattern: 'a.com' }] });
    names.allow(8, { protocol: 'dns', rules: [{ rule: 80, pattern: '*.b.com' }, { rule: 81, pattern: 'a.com' }] });
    names.allow(9, { protocol: 'dns', rules: [{ rule: 90, pattern: '*' }] });
    names.commit();
    names.retire(new Set([7, 8, 9]));
    const asked = () => ['a.com', 'x.b.com', 'c.com'].map(name => [7, 8, 9].map(l7 => kernel.mayAsk(l7, kernel.walk(name))));
    assert.deepEqual(asked(), [[70, 81, 90], [undefined, 80, 90], [undefined, undefined, 90]]);
    // A toFQDNs pattern gives a.com another class: the rows of both stand while either automaton may be read.
    engine.select(['*.com'], ['a.com', '*.b.com']);
    names.refresh();
    assert.deepEqual(asked(), [[70, 81, 90], [undefined, 80, 90], [undefined, undefined, 90]]);
    names.commit();
    assert.deepEqual(asked(), [[70, 81, 90], [undefined, 80, 90], [undefined, undefined, 90]]);
    names.retire(new Set([8, 9]));
    assert.deepEqual(asked()[0], [undefined, 81, 90]);
    assert.ok([...kernel.maps.nameRules.entries()].every(([key]) => key.l7 !== 7));
  });

  it('keeps its numbers over a restart, and those of addresses that are still in use', async () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select(['a.com', 'b.com']);
    pass(kernel.agent(engine));
    const [a, b] = [kernel.walk('a.com'), kernel.walk('b.com')];
    kernel.put({ key: { endpoint: 5, addr: parseAddr('10.1.1.1') }, identity: b.identity, expiresS: kernel.now + 300, replaces: [] });
    const again = new FakeEngine();
    again.select(['a.com', 'c.com']);
    const names = kernel.agent(again);
    const id = kernel.maps.nameAutomaton.lookup(0);
    pass(names);
    assert.notEqual(kernel.maps.nameAutomaton.lookup(0), id);
    assert.deepEqual(kernel.walk('a.com'), a);
    assert.notEqual(kernel.walk('c.com').identity, b.identity);
    for (let i = 0; i < 4; i++) assert.deepEqual(names.take(await kernel.scan()), []);
    assert.deepEqual(again.identities.get(b.identity), ['fqdn:b.com', 'reserved:world'], 'an address bears it');
    kernel.wait(400);
    for (let i = 0; i < 2; i++) assert.deepEqual(names.take(await kernel.scan()), [], 'an answer may be on its way');
    assert.deepEqual(names.take(await kernel.scan()), [b.identity]);
    assert.ok(again.identities.has(b.identity), 'a connection may have it');
    names.release([b.identity, a.identity]);
    assert.ok(!again.identities.has(b.identity) && again.identities.has(a.identity));
    assert.equal(names.labels(b.identity), undefined);
    // Nor does the number come again.
    again.select(['a.com', 'c.com', 'd.com']);
    pass(names);
    assert.notEqual(kernel.walk('d.com').identity, b.identity);
  });

  it('leaves the automaton of before alone when it is the same', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select(['a.com'], ['*.b.com']);
    pass(kernel.agent(engine));
    const id = kernel.maps.nameAutomaton.lookup(0);
    pass(kernel.agent(engine));
    assert.equal(kernel.maps.nameAutomaton.lookup(0), id);
  });

  it('gives no number again when it cannot read what they meant', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select(['a.com', 'b.com'], ['c.com']);
    pass(kernel.agent(engine));
    const before = ['a.com', 'b.com', 'c.com'].map(kernel.walk);
    writeFileSync(kernel.file, '{"classes": 1');
    const names = kernel.agent(engine);
    assert.equal(kernel.errors.length, 1);
    pass(names);
    const now = ['a.com', 'b.com', 'c.com'].map(kernel.walk);
    for (const kind of ['class', 'identity'] as const) assert.ok(now.every(one => one[kind] === 0 || before.every(other => other[kind] !== one[kind])), kind);
  });

  it('joins the identities of an address that many names share, when the engine knows the joined one', async () => {
    const kernel = node();
    const engine = new FakeEngine();
    const all = ['a.com', 'b.com', 'c.com', 'd.com', 'e.com'];
    engine.select(all);
    const names = kernel.agent(engine);
    pass(names);
    const key = { endpoint: 5, addr: parseAddr('fd00::1') };
    all.forEach((name, i) => kernel.put({ key, identity: kernel.walk(name).identity, expiresS: kernel.now + 100 + i, replaces: [] }));
    names.take(await kernel.scan());
    assert.equal(kernel.work, 1);
    assert.equal(livingIdentities(kernel.maps.nameAddresses.lookup(key)!, kernel.now).length, 5);
    names.refresh();
    const joined = [...engine.identities].find(([, labels]) => labels.length === 6)!;
    assert.deepEqual(joined[1], [...all.map(name => `fqdn:${name}`), 'reserved:world']);
    names.commit();
    const { slots } = kernel.maps.nameAddresses.lookup(key)!;
    assert.deepEqual(slots.filter(slot => slot.identity !== 0), [{ identity: joined[0], expiresS: kernel.now + 104 }]);
    for (let i = 0; i < 4; i++) names.release(names.take(await kernel.scan()));
    assert.ok(engine.identities.has(joined[0]), 'the address bears it');
  });

  it('tells addresses that were looked up before their policy came', () => {
    const kernel = node();
    const engine = new FakeEngine();
    const names = kernel.agent(engine);
    pass(names);
    engine.select(['*.stripe.com']);
    pass(names);
    const learned = [
      { endpoint: 3, name: 'api.stripe.com.', ip: '54.1.1.1', ttlEndNs: (kernel.now + 30) * 1e9 },
      { endpoint: 3, name: 'old.stripe.com.', ip: '54.1.1.2', ttlEndNs: (kernel.now - 1) * 1e9 },
      { endpoint: 3, name: 'example.com.', ip: '54.1.1.3', ttlEndNs: (kernel.now + 30) * 1e9 },
    ];
    for (const _ of names.relearn(learned));
    const rows = [...kernel.maps.nameAddresses.entries()];
    assert.equal(rows.length, 1);
    assert.deepEqual(rows[0]![1].slots[0], { identity: kernel.walk('api.stripe.com').identity, expiresS: kernel.now + 30 });
  });

  it('says what does not fit, and leaves in force what was', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select([], Array.from({ length: 400 }, (_, i) => `n${i}.com`));
    const names = kernel.agent(engine);
    pass(names);
    const setOf = (pattern: (i: number) => string) => ({ protocol: 'dns' as const, rules: Array.from({ length: 400 }, (_, i) => ({ rule: i + 1, pattern: pattern(i) })) });
    names.allow(1, setOf(i => `n${i}.com`));
    assert.throws(() => names.allow(2, setOf(i => `n${i}.com`)));
    assert.equal(kernel.mayAsk(1, kernel.walk('n7.com')), 8);
    // Twice as many classes have no room either: the automaton of before stays.
    engine.select(['*.com'], engine.dns);
    pass(names, [1]);
    assert.equal(names.status().state, 'degraded');
    assert.equal(kernel.walk('n7.com').identity, 0);
    assert.equal(kernel.mayAsk(1, kernel.walk('n7.com')), 8);
  });

  it('has an automaton while no policy has names, which knows none', () => {
    const kernel = node();
    const engine = new FakeEngine();
    engine.select(['a.com']);
    const names = kernel.agent(engine);
    pass(names);
    assert.equal(kernel.inUse, true);
    engine.select([]);
    pass(names);
    assert.equal(kernel.inUse, false);
    assert.deepEqual(kernel.walk('a.com'), { class: 0, identity: 0 });
    assert.ok(kernel.maps.nameAutomaton.lookup(0));
  });
});
