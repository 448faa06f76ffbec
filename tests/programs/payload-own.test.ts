/**
 * What is judged is what arrives: a client sends from a file, whose pages the network shares with it, and writes over them when the packet
 * has been judged and its receiver has not read it yet.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { buildMessage } from './dns-message.ts';
import { HTTP_PORT, putHttpSet } from './http-rig.ts';
import { allowNames, l7Number, loadAutomaton, namesAreInForce } from './names.ts';
import { addressesOf, pods, Rig } from './rig.ts';

const [a, b] = pods as [typeof pods[0], typeof pods[0]];
const SET = 7;
const patterns = ['api.example.com'];

/** Takes one connection or one datagram, says so, and reads it when it is told to. */
const SERVER = `
import socket, sys
kind, port = sys.argv[1], int(sys.argv[2])
server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(('::', port))
if kind == 'tcp': server.listen()
print('ready', flush=True)
if kind == 'tcp': server = server.accept()[0]
sys.stdin.readline()
server.settimeout(5)
try: print(server.recv(65536).hex(), flush=True)
except TimeoutError: print('nothing', flush=True)
`;

/** Sends the first file from its pages, then writes the second one's bytes over it. */
const CLIENT = `
import os, socket, sys
kind, host, port, name, other = sys.argv[1:]
client = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
client.connect((host, int(port)))
file = os.open(name, os.O_RDWR)
size = os.fstat(file).st_size
assert os.sendfile(client.fileno(), file, 0, size) == size
os.pwrite(file, open(other, 'rb').read(), 0)
print('written over', flush=True)
sys.stdin.readline()
`;

describe('bytes that their sender writes over on their way', { timeout: 120_000 }, () => {
  const rig = new Rig({ ns: `cpo${process.pid % 10000}`, http: ['b'] });
  const folder = mkdtempSync(join(tmpdir(), 'payload-'));

  before(async () => {
    await rig.start();
    const node = rig.nodes[0]!;
    const { maps } = node;
    putHttpSet(node, SET, [{ rule: 501, path: '/ok.*', headers: [] }]);
    node.redirect(b.id, SET);
    const automaton = loadAutomaton(maps, patterns);
    allowNames(maps, automaton, patterns);
    namesAreInForce(maps);
    maps.policyVerdicts.update({ prefixBits: 96, set: a.id + 1000, class: 0, protocol: 17, port: 53 }, { rule: 2, shadowRule: 0, l7: l7Number, verdict: 3, match: 2, shadowVerdict: 0, flags: 0 });
    node.commit();
  });
  after(() => {
    rig[Symbol.dispose]();
    rmSync(folder, { recursive: true });
  });

  /** What the server has read of what was sent and written over. */
  async function exchange(kind: 'tcp' | 'udp', host: string, port: number, sent: Buffer, written: Buffer): Promise<Buffer> {
    const [first, second] = [join(folder, 'sent'), join(folder, 'written')];
    writeFileSync(first, sent);
    writeFileSync(second, written);
    const start = (where: string, script: string, ...args: readonly string[]) => spawn('ip', ['netns', 'exec', rig.ns(where), 'python3', '-u', '-c', script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const server = start('b', SERVER, kind, String(port));
    const lines = createInterface(server.stdout!)[Symbol.asyncIterator]();
    let client: ReturnType<typeof start> | undefined;
    try {
      assert.equal((await lines.next()).value, 'ready');
      client = start('a', CLIENT, kind, host, String(port), first, second);
      assert.equal(String((await once(createInterface(client.stdout!), 'line'))[0]), 'written over');
      assert.deepEqual(readFileSync(first), written, 'the pages are other ones');
      server.stdin!.write('\n');
      return Buffer.from(String((await lines.next()).value), 'hex');
    } finally {
      client?.kill('SIGKILL');
      server.kill('SIGKILL');
      await once(server, 'close');
    }
  }

  for (const [i, family] of ['IPv4', 'IPv6'].entries()) {
    for (const here of [true, false]) {
      for (const [what, padding] of [['a small head', 0], ['a head of several pieces', 900], ['a head that is longer than a page', 6000]] as const) {
        test(`HTTP over ${family}, ${what}, read ${here ? 'where it is forwarded' : 'at the pod\'s device'}`, async () => {
          rig.nodes[0]!.readHttpHere(here);
          const request = (path: string) => Buffer.from(`GET ${path} HTTP/1.1\r\nhost: server\r\nx-more: ${'y'.repeat(padding)}\r\n\r\n`);
          const read = await exchange('tcp', addressesOf(b)[i]!, HTTP_PORT, request('/ok'), request('/no'));
          assert.equal(read.toString('latin1'), request('/ok').toString('latin1'));
        });
      }
    }

    test(`a DNS question over ${family}`, async () => {
      const question = (name: string) => Buffer.from(buildMessage({ name, id: 7, type: 1 }));
      const read = await exchange('udp', addressesOf(b)[i]!, 53, question('api.example.com'), question('bad.example.com'));
      assert.equal(read.toString('hex'), question('api.example.com').toString('hex'));
    });
  }
});
