/** TCP between pods of one node, from socket to socket: the same bytes in the same order, and policy as ever. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConntrackFlag } from '../../src/datapath/generated/enums.ts';
import { Ends } from './sockmap-ends.ts';
import { addressesOf, ingressSet, podA, podB, SockmapRig, streamPath } from './sockmap-rig.ts';

const MESSAGES = process.env['CIRRI_LONG'] ? 200_000 : 15_000;
const CONNECTIONS = 3;
const families = [['IPv4', addressesOf(podB)[0]], ['IPv6', addressesOf(podB)[1]]] as const;

/** What an end says when it is through: "read R written W again N messages M". */
const figures = (line: string | undefined): { readonly read: number; readonly written: number } => {
  const [, read, written] = /^read (\d+) written (\d+) /.exec(line ?? '') ?? assert.fail(`an end said: ${line}`);
  return { read: Number(read), written: Number(written) };
};

describe('random streams both ways, while policy is committed and the short way goes off and on', () => {
  let rig: SockmapRig;
  before(() => { rig = SockmapRig.build(); });
  after(() => rig?.close());

  for (const mode of ['poll', 'block'] as const) for (const [family, address] of families) {
    test(`${family}, ${mode}: every byte arrives once, in its place, by both ways`, async t => {
      const seed = Math.floor(Math.random() * 1e9);
      const port = 5000 + seed % 20_000;
      const options = [CONNECTIONS, seed, MESSAGES, mode].map(String);
      const before = rig.packetsFrom(podA);
      const server = rig.start('b', [streamPath, 'listen', String(port), ...options]);
      assert.equal(await server.line(), 'listening');
      const client = rig.start('a', [streamPath, 'connect', address, String(port), ...options]);
      let running = true;
      void Promise.all([client.exit, server.exit]).then(() => { running = false; });
      for (let i = 0; running; i++) {
        await sleep(Math.random() < 0.5 ? Math.random() * 3 : Math.random() * 60);
        rig.commit();
        if (i % 7 === 3) rig.off();
        if (i % 7 === 5) rig.on();
      }
      rig.on();
      const [clientSaid, serverSaid] = [await client.line(), await server.line()];
      t.diagnostic(`seed ${seed}: ${clientSaid}`);
      assert.deepEqual([await client.exit, await server.exit], [0, 0], `seed ${seed}: ${clientSaid}, ${serverSaid}`);
      const { read, written } = figures(clientSaid);
      assert.deepEqual(figures(serverSaid), { read: written, written: read });
      const stack = rig.packetsFrom(podA) - before;
      const direct = rig.direct(port, podA, before);
      t.diagnostic(`${direct} messages directly, ${stack} packets through the stack`);
      assert.ok(direct > 100 && stack > 100);
    });
  }

  test('sockets that closed are in no map', async () => {
    for (let attempt = 0; attempt < 1000 && rig.joined() > 0; attempt++) await sleep(20);
    assert.equal(rig.joined(), 0);
  });
});

for (const [family, address] of families) describe(`what programs see of it, ${family}`, () => {
  let rig: SockmapRig;
  let ends: Ends;
  before(() => {
    rig = SockmapRig.build();
    ends = new Ends(rig);
  });
  after(async () => {
    await ends?.close();
    await rig?.close();
  });
  const pair = (): Promise<unknown> => ends.run(`pair('${address}')`);
  const gives = async (statements: string, expected: unknown): Promise<void> => assert.deepEqual(await ends.run(statements), expected);

  test('from the first byte, both ways', async () => {
    await pair();
    await gives('result = [carry(c, s, b"hello"), carry(s, c, b"world"), carry(c, s, b"x" * 300000), carry(s, c, b"y" * 3)]', ['direct', 'direct', 'direct', 'direct']);
  });

  test('the connection\'s counts go on, and are complete when it ends', async () => {
    await pair();
    const port = Number(await ends.run('result = l.getsockname()[1]'));
    const [entry] = rig.connections(port);
    assert.ok(entry);
    // Counted at the first message after a tick of the clock.
    await ends.run('for i in range(10): carry(c, s, b"x" * 1000); carry(s, c, b"y" * 10)\ntime.sleep(0.05); carry(c, s, b"xx"); carry(s, c, b"yy")');
    const [later] = rig.connections(port);
    assert.deepEqual([later!.forwardBytes - entry.forwardBytes, later!.replyBytes - entry.replyBytes, later!.forwardPackets - entry.forwardPackets], [10_000n, 100n, 10n]);
    assert.ok(later!.expiresNs >= entry.expiresNs);
    await ends.run('c.close(); s.close(); time.sleep(0.1)');
    const [last] = rig.connections(port);
    // The rest, and the three frames or four that a connection ends with.
    const closing = Number(last!.forwardPackets - later!.forwardPackets);
    assert.ok(closing >= 2 && closing <= 5, `${closing} more`);
  });

  test('after a commit the stack carries the next message, policy is asked, and then it is direct again', async () => {
    await pair();
    await ends.run('settle(c, s); settle(s, c)');
    rig.commit();
    await gives('result = [carry(c, s, b"hello"), carry(c, s, b"hello"), carry(s, c, b"world")]', ['stack', 'direct', 'direct']);
    rig.commit();
    await gives('result = carry(s, c, b"an answer first")', 'stack');
    await ends.run('settle(s, c); settle(c, s)');
  });

  test('what the stack brought and nobody has read yet is read first', async () => {
    await pair();
    await ends.run('settle(c, s)');
    rig.commit();
    await gives('for i in range(200): c.sendall(b"%03d" % i)\nresult = read(s, 600).decode()', Array.from({ length: 200 }, (_, i) => String(i).padStart(3, '0')).join(''));
    await ends.run('settle(c, s)');
    await ends.run('for i in range(20): c.sendall(b"%03d" % i)');
    rig.commit();
    await gives('for i in range(20, 40): c.sendall(b"%03d" % i)\nresult = read(s, 120).decode()', Array.from({ length: 40 }, (_, i) => String(i).padStart(3, '0')).join(''));
  });

  test('a commit that denies ends the connection with the next message, whichever way it goes', async () => {
    for (const [sender, receiver] of [['c', 's'], ['s', 'c']] as const) {
      await pair();
      const port = Number(await ends.run('result = l.getsockname()[1]'));
      await ends.run('settle(c, s); settle(s, c)');
      rig.policy(ingressSet(podB), 2);
      rig.commit();
      await gives(`${sender}.sendall(b"late"); ${receiver}.settimeout(0.4); result = failing(lambda: ${receiver}.recv(10))`, sender === 'c' ? 'TimeoutError' : 'ok');
      if (sender === 's') await gives('s.sendall(b"later"); c.settimeout(0.4); result = failing(lambda: c.recv(10))', 'TimeoutError');
      assert.ok(rig.connections(port)[0]!.flags & ConntrackFlag.Revoked);
      rig.policy(ingressSet(podB), 1);
      rig.commit();
    }
  });

  test('taken out of the slot, the program lets all sockets that have it go by the stack; what is in a queue is still read', async () => {
    await pair();
    await ends.run('settle(c, s); c.sendall(b"queued ")');
    rig.off();
    await gives('c.sendall(b"and by the stack"); result = [read(s, 23).decode(), carry(c, s, b"x"), carry(s, c, b"y")]', ['queued and by the stack', 'stack', 'stack']);
    rig.on();
    await ends.run('settle(c, s); settle(s, c)');
  });

  test('a pod with another\'s address inside its namespace is not taken for it', async () => {
    await pair();
    await ends.run('settle(c, s)');
    const device = rig.namespace('x');
    for (const own of [addressesOf(podA), addressesOf(podB)].flat()) rig.exec('x', `ip addr add ${own}/${own.includes(':') ? '128 nodad' : '32'} dev lo`);
    // The same four numbers as the real connection, all inside the thief's namespace.
    await ends.run(`
enter('${device}'); fake = socket.socket(socket.AF_INET6); fake.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); fake.bind(('::', l.getsockname()[1])); fake.listen(4)
thief = socket.socket(c.family); thief.bind(c.getsockname()[:2]); thief.connect(c.getpeername()[:2]); caught = fake.accept()[0]; caught.settimeout(0.2)`);
    await gives('result = [carry(c, s, b"secret"), failing(lambda: caught.recv(10))]', ['direct', 'TimeoutError']);
    await ends.run('thief.close(); caught.close(); fake.close()');
    for (const own of [addressesOf(podA), addressesOf(podB)].flat()) rig.exec('x', `ip addr del ${own}/${own.includes(':') ? '128' : '32'} dev lo`);
  });

  test('a queue has a limit, in bytes and in messages, and then the stack holds the sender back', async () => {
    await pair();
    await ends.run(`c.setblocking(False); n = 0
while failing(lambda: c.send(b'x')) == 'ok': n += 1
time.sleep(0.1); direct = n - stack_bytes(s) - unacknowledged(c)`);
    assert.ok(Number(await ends.run('c.settimeout(5); read(s, n); result = direct')) <= 64);
    await pair();
    // A byte more each time: as many messages as the rule lets through.
    await ends.run(`c.setblocking(False); n = 0; messages = 0
while True:
    try: n += c.send(b'x' * (1 + n // 60)); messages += stack_bytes(s) == 0
    except BlockingIOError: break
total = n; c.settimeout(5); got = len(read(s, n))`);
    const [got, total, messages] = await ends.run('result = [got, total, messages]') as [number, number, number];
    assert.equal(got, total);
    assert.ok(messages < 1_000, `${messages} messages in a queue`);
    await ends.run('settle(c, s)');
  });

  test('epoll, by level and by edge, and a reader\'s time limit', async () => {
    await pair();
    await ends.run('settle(c, s)');
    for (const flag of ['0', 'select.EPOLLET']) {
      await gives(`e = select.epoll(); e.register(s, select.EPOLLIN | ${flag}); empty = e.poll(0); threading.Timer(0.05, lambda: c.sendall(b'ping')).start(); events = e.poll(3); result = [empty, len(events), s.recv(100).decode(), e.poll(0)]`, [[], 1, 'ping', []]);
    }
    await gives('s.settimeout(0.2); t = time.time(); what = failing(lambda: s.recv(1)); result = [what, 0.1 < time.time() - t < 2]', ['TimeoutError', true]);
  });

  test('peeking, and how much there is to read', async () => {
    await pair();
    await gives('c.sendall(b"12345"); result = [s.recv(3, socket.MSG_PEEK).decode(), s.recv(9, socket.MSG_PEEK).decode(), s.recv(2).decode(), s.recv(9).decode()]', ['123', '12345', '12', '345']);
  });

  test('a side that is shut down, a socket that is closed: everything sent before arrives, then the end', async () => {
    await pair();
    await gives('c.sendall(b"last"); c.shutdown(socket.SHUT_WR); result = [read(s, 99).decode(), carry(s, c, b"half"), len(s.recv(1))]', ['last', 'direct', 0]);
    await pair();
    await gives('c.sendall(b"last"); c.close(); time.sleep(0.05); result = [read(s, 99).decode(), len(s.recv(1))]', ['last', 0]);
    await pair();
    await gives('s.close(); time.sleep(0.05); result = []\nfor i in range(20):\n    result = failing(lambda: c.sendall(b"x"))\n    if result != "ok": break\n    time.sleep(0.01)', 'EPIPE');
    await pair();
    await gives('carry(c, s, b"x"); c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)); c.close(); time.sleep(0.05); result = failing(lambda: s.recv(1))', 'ECONNRESET');
  });

  test('data sent before the server accepts', async () => {
    await ends.run(`pair('${address}', False); c.sendall(b"early"); c.sendall(b" bird")`);
    await gives('s = l.accept()[0]; s.settimeout(5); result = [read(s, 10).decode(), carry(s, c, b"x")]', ['early bird', 'direct']);
  });

  test('a reader that sleeps over what the stack has brought gets the rest', async () => {
    await pair();
    await ends.run('settle(c, s)');
    rig.commit();
    await gives(`
s.settimeout(None); got = []; t = threading.Thread(target=lambda: got.append(len(s.recv(100, socket.MSG_WAITALL)))); t.start()
time.sleep(0.1); c.sendall(b'x' * 50); time.sleep(0.1); c.sendall(b'y' * 50); t.join(5); result = got`, [100]);
  });

  test('readers of more than one byte at once, and sends without copying, stay with the stack', async () => {
    await pair();
    await gives('s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 10); result = [carry(c, s, b"x" * 10), carry(s, c, b"y")]', ['stack', 'direct']);
    await pair();
    await gives('c.setsockopt(socket.SOL_SOCKET, 60, 1); result = [carry(c, s, b"x" * 10), carry(s, c, b"y")]', ['stack', 'direct']);
  });

  test('a file sent with sendfile', async () => {
    await pair();
    await gives(`
data = os.urandom(1 << 20); f = os.memfd_create('file'); os.write(f, data); got = []
t = threading.Thread(target=lambda: got.append(read(s, len(data)) == data)); t.start(); at = 0
c.settimeout(None)
while at < len(data): at += os.sendfile(c.fileno(), f, at, len(data) - at)
t.join(10); os.close(f); result = got`, [true]);
  });

  test('between the node and its pod', async () => {
    await gives(`
enter(B); l = socket.socket(socket.AF_INET6); l.bind(('::', 0)); l.listen(8)
enter(NODE); c = socket.socket(socket.AF_INET6 if ':' in '${address}' else socket.AF_INET); c.settimeout(5); c.connect(('${address}', l.getsockname()[1])); s = l.accept()[0]; s.settimeout(5)
result = [carry(c, s, b"probe"), carry(s, c, b"healthy")]`, ['direct', 'direct']);
  });
});

describe('connections that come and go', () => {
  let rig: SockmapRig;
  let ends: Ends;
  before(() => {
    rig = SockmapRig.build();
    ends = new Ends(rig);
  });
  after(async () => {
    await ends?.close();
    await rig?.close();
  });

  test('thousands of short ones at once: every answer is right, and nothing of them stays', async () => {
    const failures = await ends.run(`
enter(B); l = socket.socket(socket.AF_INET6); l.bind(('::', 0)); l.listen(1000); port = l.getsockname()[1]; result = []
def answer(end):
    try: end.settimeout(20); end.sendall(read(end, 1000)[::-1]); end.close()
    except Exception as e: result.append(repr(e))
def accept():
    while True: threading.Thread(target=answer, args=(l.accept()[0],), daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
def ask():
    enter(A)
    for i in range(500):
        try:
            data = os.urandom(1000); end = socket.create_connection(('${addressesOf(podB)[0]}', port), 20); end.sendall(data)
            if read(end, 1000) != data[::-1]: result.append('another answer')
            end.close()
        except Exception as e: result.append(repr(e))
askers = [threading.Thread(target=ask) for i in range(6)]
for one in askers: one.start()
for one in askers: one.join()`);
    assert.deepEqual(failures, []);
    for (let attempt = 0; attempt < 1000 && rig.joined() > 0; attempt++) await sleep(20);
    assert.equal(rig.joined(), 0);
  });
});

describe('programs as they are', () => {
  let rig: SockmapRig;
  let commits: NodeJS.Timeout;
  before(() => {
    rig = SockmapRig.build();
    commits = setInterval(() => rig.commit(), 15);
  });
  after(async () => {
    clearInterval(commits);
    await rig?.close();
  });

  test('HTTP with kept connections and bodies of all sizes, and a large file by curl', async () => {
    const server = rig.start('b', [process.execPath, '-e', `
const { createHash } = require('node:crypto');
require('node:http').createServer((request, response) => {
  if (request.method === 'GET') return void response.end(Buffer.alloc(30e6, 'cirri'));
  const hash = createHash('sha256'); let all = [];
  request.on('data', data => { hash.update(data); all.push(data); });
  request.on('end', () => { response.setHeader('x-hash', hash.digest('hex')); response.end(Buffer.concat(all)); });
}).listen(8080, '::', () => console.log('listening'))`]);
    assert.equal(await server.line(), 'listening');
    const client = rig.start('a', [process.execPath, '-e', `
const { createHash, randomBytes } = require('node:crypto');
const http = require('node:http'), agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
const ask = body => new Promise((resolve, reject) => {
  const request = http.request({ host: '${addressesOf(podB)[1]}', port: 8080, method: 'POST', agent }, response => {
    const hash = createHash('sha256');
    response.on('data', data => hash.update(data));
    response.on('end', () => resolve([response.headers['x-hash'], hash.digest('hex')]));
  });
  request.on('error', reject); request.end(body);
});
(async () => {
  await Promise.all([1, 2, 3, 4].map(async () => {
    for (let i = 0; i < 250; i++) {
      const body = randomBytes(Math.floor(10 ** (Math.random() * 6)));
      const own = createHash('sha256').update(body).digest('hex');
      for (const hash of await ask(body)) if (hash !== own) throw new Error('not what was sent');
    }
  }));
  agent.destroy(); console.log('all right');
})()`]);
    assert.equal(await client.line(), 'all right');
    assert.ok(rig.direct(8080, podA, 0) > 500);
    const curl = rig.start('a', ['curl', '-sS', '-o', '/dev/null', '-w', '%{size_download}', `http://${addressesOf(podB)[0]}:8080/`]);
    assert.equal(await curl.line(), '30000000');
  });
});
