import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { AccessTokens, bearerToken, maySee } from './access.ts';

const folders: string[] = [];
let folder = '';
let now = new Date('2026-03-01T00:00:00Z');
let tokens: AccessTokens;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cirri-access-'));
  folders.push(folder);
  now = new Date('2026-03-01T00:00:00Z');
  tokens = new AccessTokens(folder, () => now);
});
after(() => folders.forEach(each => rmSync(each, { recursive: true })));

test('a token is accepted as it was given, with what it may see', () => {
  const admin = tokens.create('ops');
  const scoped = tokens.create('shop', { namespaces: ['shop', 'cart', 'shop'] });
  assert.deepEqual(tokens.check(admin), { name: 'ops', namespaces: undefined });
  assert.deepEqual(tokens.check(scoped), { name: 'shop', namespaces: ['cart', 'shop'] });
  for (const wrong of [undefined, '', 'cirri-', `${admin}x`, admin.slice(0, -1), admin.toUpperCase(), 'ops']) assert.equal(tokens.check(wrong), undefined);
});

test('the file is root\'s alone and holds no token', () => {
  const token = tokens.create('ops');
  const path = join(folder, 'tokens.json');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.ok(!readFileSync(path, 'utf8').includes(token));
});

test('a token that another process deletes is refused at once', () => {
  const token = tokens.create('ops');
  assert.ok(tokens.check(token));
  const other = new AccessTokens(folder);
  assert.equal(other.delete('ops'), true);
  assert.equal(other.delete('ops'), false);
  assert.equal(tokens.check(token), undefined);
});

test('a token ends when its time is over, and then its name is free', () => {
  const token = tokens.create('guest', { lifetimeMs: 60_000 });
  assert.ok(tokens.check(token));
  now = new Date(now.getTime() + 60_000);
  assert.equal(tokens.check(token), undefined);
  const next = tokens.create('guest');
  assert.ok(tokens.check(next));
  assert.deepEqual(tokens.list().map(each => each.name), ['guest']);
});

test('names that are taken, no names, and tokens for nothing are refused', () => {
  tokens.create('ops');
  assert.throws(() => tokens.create('ops'), /already/);
  assert.throws(() => tokens.create('Ops\u001b[31m'), /not a name/);
  assert.throws(() => tokens.create('a', { namespaces: ['*'] }), /not a name/);
  assert.throws(() => tokens.create('a', { namespaces: [] }), /sees nothing/);
});

test('a damaged file lets nobody in', () => {
  const token = tokens.create('ops', { namespaces: ['shop'] });
  const path = join(folder, 'tokens.json');
  const good = readFileSync(path, 'utf8');
  for (const bad of ['', 'null', '{}', good.slice(0, -20), good.replace('"shop"', '7'), good.replace(/"namespaces": \[[^\]]*\]/, '"namespaces": null')]) {
    writeFileSync(path, bad);
    assert.throws(() => tokens.check(token), `${bad}`);
  }
});

test('a bearer token is read from its header', () => {
  assert.equal(bearerToken('Bearer abc'), 'abc');
  assert.equal(bearerToken('bearer  abc'), 'abc');
  for (const wrong of [undefined, '', 'abc', 'Basic abc', 'Bearer', 'Bearer a b']) assert.equal(bearerToken(wrong), undefined);
});

test('a namespace sees flows with an end in it', () => {
  const access = { name: 'shop', namespaces: ['shop'] };
  assert.ok(maySee(access, 'shop', 'pay'));
  assert.ok(maySee(access, undefined, 'shop'));
  assert.ok(!maySee(access, 'pay', 'pay'));
  assert.ok(!maySee(access, undefined, undefined));
  assert.ok(maySee({ name: 'root', namespaces: undefined }, 'pay', undefined));
});
