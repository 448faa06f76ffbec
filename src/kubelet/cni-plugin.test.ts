import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { repositoryRoot } from './testing.ts';

const plugin = join(repositoryRoot, 'build/cirri-cni');

interface Called {
  readonly code: number;
  readonly stdout: string;
}

function call(env: Readonly<Record<string, string>>, config: string | Buffer): Promise<Called> {
  return new Promise((resolve, reject) => {
    const child = spawn(plugin, [], { env: { ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
    const out: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stdin.on('error', () => {});
    child.on('error', reject);
    child.on('close', (code, signal) => (signal ? reject(new Error(`killed by ${signal}`)) : resolve({ code: code ?? -1, stdout: Buffer.concat(out).toString('utf8') })));
    child.stdin.end(config);
  });
}

const environment = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'abc123', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0', CNI_ARGS: 'K8S_POD_NAME=p', CNI_PATH: '/opt/cni/bin' };

describe('the CNI plugin', () => {
  const dir = mkdtempSync(join(tmpdir(), 'ktcni-'));
  const socket = join(dir, 'cni.sock');
  let server: net.Server;
  let answer: (line: string) => string | Buffer = () => '{"code":0,"result":{"cniVersion":"1.0.0","ips":[]}}\n';
  const lines: string[] = [];
  const config = (more: object = {}) => JSON.stringify({ cniVersion: '1.0.0', name: 'cirri', type: 'cirri-cni', socket, ...more });

  before(async () => {
    server = net.createServer({ allowHalfOpen: true }, connection => {
      let text = '';
      connection.on('error', () => {});
      connection.on('data', chunk => {
        text += chunk.toString('utf8');
        if (!text.includes('\n')) return;
        lines.push(text);
        connection.end(answer(text));
      });
    });
    await new Promise<void>(resolve => server.listen(socket, resolve));
  });
  after(() => {
    server.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test('ADD sends one line with the environment and the configuration, and prints the result', async () => {
    answer = () => '{"code":0,"result":{"cniVersion":"1.0.0","ips":[{"address":"10.244.1.5/32"}]}}\n';
    const { code, stdout } = await call(environment, JSON.stringify(JSON.parse(config()), null, 2));
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { cniVersion: '1.0.0', ips: [{ address: '10.244.1.5/32' }] });
    assert.deepEqual(JSON.parse(lines.at(-1)!), {
      command: 'ADD', containerId: 'abc123', netns: '/run/netns/x', ifname: 'eth0', args: 'K8S_POD_NAME=p', path: '/opt/cni/bin', config: JSON.parse(config()),
    });
    assert.equal(lines.at(-1)!.indexOf('\n'), lines.at(-1)!.length - 1);
  });

  test('a result without a version gets the one of the configuration', async () => {
    answer = () => '{"code":0,"result":{"ips":[]}}\n';
    assert.deepEqual(JSON.parse((await call(environment, config({ cniVersion: '0.4.0' }))).stdout), { cniVersion: '0.4.0', ips: [] });
    answer = () => '{"code":0,"result":{}}';
    assert.deepEqual(JSON.parse((await call(environment, config())).stdout), { cniVersion: '1.0.0' });
  });

  test('the agent\'s refusal becomes a CNI error', async () => {
    answer = () => '{"code":11,"msg":"not ready \\"yet\\"","details":"\\u0001x"}\n';
    const { code, stdout } = await call(environment, config());
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(stdout), { cniVersion: '1.0.0', code: 11, msg: 'not ready "yet"', details: '\u0001x' });
  });

  test('VERSION names what is accepted without asking anybody', async () => {
    const { code, stdout } = await call({ CNI_COMMAND: 'VERSION' }, '');
    assert.equal(code, 0);
    assert.deepEqual((JSON.parse(stdout) as { supportedVersions: string[] }).supportedVersions, ['0.3.1', '0.4.0', '1.0.0', '1.1.0']);
  });

  test('each mistake has its code', async () => {
    const cases: [number, Partial<typeof environment>, string][] = [
      [1, {}, config({ cniVersion: '9.9.9' })],
      [4, { CNI_COMMAND: 'FROB' }, config()],
      [4, { CNI_CONTAINERID: '../../etc' }, config()],
      [4, { CNI_CONTAINERID: '' }, config()],
      [4, { CNI_IFNAME: 'a/b' }, config()],
      [4, { CNI_NETNS: '' }, config()],
      [6, {}, 'nonsense'],
      [6, {}, '{"cniVersion":"1.0.0"'],
      [6, {}, config() + 'x'],
      [6, {}, config({ big: 'x'.repeat(300_000) })],
      [7, {}, JSON.stringify({ cniVersion: '1.0.0', name: 'x', type: 'cirri-cni' })],
      [7, {}, config({ socket: 'relative' })],
      [7, {}, config({ socket: '/' + 'x'.repeat(200) })],
    ];
    for (const [expected, env, text] of cases) {
      const { code, stdout } = await call({ ...environment, ...env }, text);
      assert.equal(code, 1, text.slice(0, 100));
      const said = JSON.parse(stdout) as { code: number; msg: string };
      // A configuration that is no JSON has no version either, and that is said first.
      assert.ok(said.code === expected || (expected === 6 && said.code === 1), `${said.code} ${said.msg} for ${text.slice(0, 60)}`);
    }
  });

  test('with the agent away ADD says try again, STATUS says not available, DEL is noted down once', async () => {
    const away = config({ socket: join(dir, 'away', 'cni.sock') });
    mkdirSync(join(dir, 'away'));
    assert.equal((JSON.parse((await call(environment, away)).stdout) as { code: number }).code, 11);
    assert.equal((JSON.parse((await call({ ...environment, CNI_COMMAND: 'STATUS' }, away)).stdout) as { code: number }).code, 50);
    for (let i = 0; i < 2; i++) assert.deepEqual(await call({ ...environment, CNI_COMMAND: 'DEL', CNI_NETNS: '' }, away), { code: 0, stdout: '' });
    assert.deepEqual(readdirSync(join(dir, 'away')), ['pending-deletes']);
    assert.deepEqual(readdirSync(join(dir, 'away', 'pending-deletes')), ['abc123']);
    assert.equal((JSON.parse(readFileSync(join(dir, 'away', 'pending-deletes', 'abc123'), 'utf8')) as { command: string }).command, 'DEL');
  });

  test('an agent that hangs up on DEL leaves it noted down', async () => {
    answer = () => '';
    assert.equal((await call({ ...environment, CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'hangup' }, config())).code, 0);
    assert.ok(readdirSync(join(dir, 'pending-deletes')).includes('hangup'));
  });

  test('what the environment and the configuration hold arrives as it was, whatever it is', async () => {
    answer = () => '{"code":0}\n';
    const envText = fc.string({ unit: 'binary', maxLength: 60 }).map(s => s.replaceAll('\0', ''));
    await fc.assert(fc.asyncProperty(envText, envText, fc.jsonValue({ maxDepth: 5 }), async (args, path, extra) => {
      const text = config({ extra });
      const { code } = await call({ ...environment, CNI_ARGS: args, CNI_PATH: path }, text);
      assert.equal(code, 0);
      const got = JSON.parse(lines.at(-1)!) as { args: string; path: string; config: unknown };
      assert.deepEqual([got.args, got.path, got.config], [args, path, JSON.parse(text)]);
    }), { numRuns: 150 });
  });

  test('no answer and no configuration, however broken, does anything but a CNI error in JSON', async () => {
    const broken = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
      fc.json().map(text => Buffer.from(text)),
      fc.tuple(fc.nat(60), fc.uint8Array({ maxLength: 4 })).map(([at, bytes]) => {
        const good = Buffer.from('{"code":0,"result":{"ips":[{"address":"1.2.3.4/32"}],"n":-1.5e3,"s":"\\ud83d\\ude00"}}');
        return Buffer.concat([good.subarray(0, at), bytes, good.subarray(at)]);
      }),
    );
    await fc.assert(fc.asyncProperty(broken, broken, fc.boolean(), async (reply, text, breakConfig) => {
      answer = () => reply;
      const { code, stdout } = await call({ ...environment, CNI_CONTAINERID: 'fuzz' }, breakConfig ? text : config());
      assert.ok(code === 0 || code === 1, `exit ${code}`);
      if (code === 1) assert.equal(typeof (JSON.parse(stdout) as { code: unknown }).code, 'number');
      else if (stdout !== '') JSON.parse(stdout);
    }), { numRuns: 300 });
  });

  test('deep nesting is refused, not followed', async () => {
    answer = () => '{"code":0}\n';
    const { code, stdout } = await call(environment, config().replace('}', `,"deep":${'['.repeat(5000)}${']'.repeat(5000)}}`));
    assert.equal(code, 1);
    assert.equal((JSON.parse(stdout) as { code: number }).code, 6);
  });
});
