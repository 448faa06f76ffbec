import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { namedServer, parseAddress } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-server-'));
after(() => rmSync(folder, { recursive: true }));
const pem = (name: string) => {
  const file = join(folder, name);
  writeFileSync(file, `pem of ${name}`);
  return file;
};
const nothing = () => undefined;

test('addresses are written as upstream writes them', () => {
  assert.deepEqual(parseAddress('unix:///var/run/cilium/hubble.sock'), { socketPath: '/var/run/cilium/hubble.sock' });
  assert.deepEqual(parseAddress('unix:/run/x.sock'), { socketPath: '/run/x.sock' });
  assert.deepEqual(parseAddress('localhost:4245'), { host: 'localhost', port: 4245, tls: false });
  assert.deepEqual(parseAddress('tls://relay.example:443'), { host: 'relay.example', port: 443, tls: true });
  assert.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80, tls: false });
  assert.deepEqual(parseAddress('10.0.0.1'), { host: '10.0.0.1', port: 4245, tls: false });
  for (const wrong of ['', ':4245', 'a:b', 'a:0', 'a:65536', 'http://a/b', '::1:80']) assert.throws(() => parseAddress(wrong), /not an address/, wrong);
});

test('a flag comes before the environment or the file, and without a name it is the relay', () => {
  assert.equal(namedServer({}, nothing), undefined);
  const configured = (flag: string) => ({ server: 'a:1', tls: 'true', 'tls-server-name': 'x', timeout: '1s' })[flag];
  assert.deepEqual(namedServer({}, configured), { address: 'a:1', target: { host: 'a', port: 1, tls: { serverName: 'x' } }, metadata: {}, timeoutMs: 1000, requestTimeoutMs: 12_000 });
  assert.deepEqual(namedServer({ server: 'b:2', timeout: '2s', tlsServerName: 'y' }, configured), { address: 'b:2', target: { host: 'b', port: 2, tls: { serverName: 'y' } }, metadata: {}, timeoutMs: 2000, requestTimeoutMs: 12_000 });
});

test('certificates are read, several authorities by flag or comma', () => {
  const flags = { server: 'tls://a:1', tlsCaCertFiles: [`${pem('one')},${pem('two')}`, pem('three')], tlsClientCertFile: pem('cert'), tlsClientKeyFile: pem('key'), tlsAllowInsecure: true };
  assert.deepEqual(namedServer(flags, nothing)?.target, { host: 'a', port: 1, tls: { ca: 'pem of one\npem of two\npem of three', cert: 'pem of cert', key: 'pem of key', insecure: true } });
  assert.throws(() => namedServer({ server: 'a:1', tls: true, tlsClientCertFile: pem('cert') }, nothing), /needs both/);
  assert.throws(() => namedServer({ server: 'a:1', tls: true, tlsCaCertFiles: ['/no/such/file'] }, nothing), /cannot read/);
});

test('credentials go with every call', () => {
  assert.deepEqual(namedServer({ server: 'a:1', token: 't' }, nothing)?.metadata, { authorization: 'Bearer t' });
  assert.deepEqual(namedServer({ server: 'a:1', basicAuthUsername: 'u', basicAuthPassword: 'p' }, nothing)?.metadata, { authorization: 'Basic dTpw' });
  assert.throws(() => namedServer({ server: 'a:1', token: 't', basicAuthUsername: 'u' }, nothing), /exclude/);
});

test('a time that is none is refused', () => {
  for (const timeout of ['5', 'x', '-1s', '0s']) assert.throws(() => namedServer({ server: 'a:1', timeout }, nothing), /not a duration/, timeout);
});
