/** dig and dnsmasq with the proxy between them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { freePort } from '../../std/testing-port.ts';
import { startProgram, startProxyRig } from '../testing-rig.ts';
import { useNameTables } from './tables.ts';

const run = promisify(execFile);

test('dig over TCP: allowed names are answered and learned, others refused, on one connection', async () => {
  const port = await freePort();
  const learned: string[] = [];
  await using server = await startProgram('dnsmasq', ['--keep-in-foreground', '--no-resolv', '--no-hosts', '--no-daemon', '--conf-file=/dev/null', '--pid-file=', '--bind-interfaces', '--listen-address=127.0.0.1', `--port=${port}`,
    '--address=/a.example.com/192.0.2.7', '--address=/a.example.com/2001:db8::7', '--address=/evil.org/192.0.2.66'], port);
  assert.ok(server);
  useNameTables({ refusal: 5, identityOf: () => 80, learn: (_endpoint, address, identity, ttl) => void learned.push(`${Buffer.from(address).toString('hex')} ${identity} ${ttl}`) });
  using proxy = startProxyRig({ protocol: 'dns', rules: [{ rule: 3, pattern: '*.example.com' }] }, port);
  const { stdout } = await run('dig', ['+tcp', '+keepopen', '+tries=1', '+time=5', '@127.0.0.1', '-p', String(proxy.port), 'a.example.com', 'A', 'evil.org', 'A', 'a.example.com', 'AAAA']);
  assert.deepEqual([...stdout.matchAll(/status: (\w+)/g)].map(match => match[1]), ['NOERROR', 'REFUSED', 'NOERROR']);
  assert.match(stdout, /a\.example\.com\.\s+\d+\s+IN\s+A\s+192\.0\.2\.7/);
  assert.match(stdout, /a\.example\.com\.\s+\d+\s+IN\s+AAAA\s+2001:db8::7/);
  assert.doesNotMatch(stdout, /192\.0\.2\.66/);
  assert.deepEqual(learned, ['c0000207 80 0', '20010db8000000000000000000000007 80 0']);
  assert.deepEqual(proxy.records.map(({ verdict, l7 }) => `${verdict} ${l7.type} ${l7.dns?.query}`), [
    'FORWARDED REQUEST a.example.com.', 'FORWARDED RESPONSE a.example.com.', 'DROPPED REQUEST evil.org.', 'FORWARDED REQUEST a.example.com.', 'FORWARDED RESPONSE a.example.com.',
  ]);
});
