/** A real server behind the kernel's reader of HTTP, and clients that write what they are told, in the pieces they are told. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { KernelTables } from '../../src/features/http-kernel/kernel-tables.ts';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { compileHttpTables } from '../../src/policy/http-tables.ts';
import type { Rig, RigNode } from './rig.ts';

export const HTTP_PORT = 8081;

/** Writes the tables of a set where the programs look for them. */
export function putHttpSet(node: RigNode, number: number, rules: readonly HttpL7Rule[]): void {
  const compiled = compileHttpTables(rules);
  if ('unfit' in compiled) throw new Error(compiled.unfit);
  new KernelTables(node.maps.httpSets as never).put(number, compiled.tables);
}

/** Node's own server in a pod. What it was asked it writes down, as METHOD URL BYTES. */
export class HttpServer {
  readonly #process: ChildProcess;
  readonly #log: string;

  private constructor(process: ChildProcess, log: string) {
    this.#process = process;
    this.#log = log;
  }

  static async start(rig: Rig, where: string): Promise<HttpServer> {
    const log = join(tmpdir(), `${rig.ns(where)}-http.log`);
    const server = spawn('ip', ['netns', 'exec', rig.ns(where), process.execPath, '-e', SERVER, log], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(createInterface(server.stdout), 'line');
    return new HttpServer(server, log);
  }

  /** Since the last time. */
  asked(): readonly string[] {
    const lines = readFileSync(this.#log, 'utf8').split('\n').slice(0, -1);
    const since = this.#read;
    this.#read = lines.length;
    return lines.slice(since);
  }

  #read = 0;

  stop(): void {
    this.#process.kill('SIGKILL');
    rmSync(this.#log, { force: true });
  }
}

/** What a client does: writes, pauses (ms), waits for so many answers, half-closes, waits for the end; `within`: how long it waits (s) from then on. */
export type Step = readonly ['send', string] | readonly ['pause', number] | readonly ['answers', number] | readonly ['shut'] | readonly ['end'] | readonly ['within', number];

/** How long a client waits at each step for what is to come: a machine that stands still now and then is no fault. */
const SECONDS = 20;

export interface Heard {
  /** Whole answers, as STATUS BODY; what is not whole stands in `rest`. */
  readonly answers: readonly string[];
  readonly rest: string;
  /** How it ended, if it did: `end`, `reset`, or `time` when it took too long. */
  readonly over?: 'end' | 'reset' | 'time';
}

/** Conversations, one connection each, one after the other. */
export function converse(rig: Rig, from: string, host: string, conversations: readonly (readonly Step[])[], o: { readonly port?: number; readonly seconds?: number } = {}): readonly Heard[] {
  const { stdout, stderr, status } = spawnSync('ip', ['netns', 'exec', rig.ns(from), 'python3', '-c', CLIENT, host, String(o.port ?? HTTP_PORT), String(o.seconds ?? SECONDS)], {
    encoding: 'utf8', input: JSON.stringify(conversations), maxBuffer: 64 << 20,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as readonly Heard[];
}

/** A conversation that the test is part of: a step at a time. */
export class HttpTalk implements Disposable {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(rig: Rig, from: string, host: string) {
    this.#process = spawn('ip', ['netns', 'exec', rig.ns(from), 'python3', '-u', '-c', CLIENT, host, String(HTTP_PORT), String(SECONDS), 'live'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
  }

  /** All that it has heard so far, after these steps. */
  async does(...steps: readonly Step[]): Promise<Heard> {
    let heard = '{"answers":[],"rest":""}';
    for (const step of steps) {
      this.#process.stdin!.write(`${JSON.stringify(step)}\n`);
      heard = String((await this.#lines.next()).value);
    }
    return JSON.parse(heard) as Heard;
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}

const SERVER = `
const { createServer } = require('node:http'), { appendFileSync, writeFileSync } = require('node:fs');
const log = process.argv[1];
writeFileSync(log, '');
const server = createServer((request, response) => {
  let bytes = 0;
  request.on('data', chunk => { bytes += chunk.length; });
  request.on('end', () => {
    appendFileSync(log, request.method + ' ' + request.url + ' ' + bytes + '\\n');
    const body = request.method + ' ' + request.url + ' ' + bytes, wait = /slow=(\\d+)/.exec(request.url), big = /big=(\\d+)/.exec(request.url);
    const answer = () => {
      if (big) response.end('x'.repeat(Number(big[1])));
      else if (request.url.includes('chunked')) { response.write(body.slice(0, 3)); response.end(body.slice(3)); }
      else { response.setHeader('content-length', body.length); response.end(body); }
    };
    if (wait) setTimeout(answer, Number(wait[1]));
    else answer();
  });
});
server.on('upgrade', (request, socket) => {
  appendFileSync(log, 'UPGRADE ' + request.url + ' 0\\n');
  socket.on('error', () => {});
  if (request.url.includes('no')) return socket.end('HTTP/1.1 400 Bad Request\\r\\ncontent-length: 0\\r\\n\\r\\n');
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nupgrade: echo\\r\\nconnection: upgrade\\r\\n\\r\\n');
  socket.on('data', data => socket.write(data));
  socket.on('end', () => socket.end());
});
server.keepAliveTimeout = 60000;
server.listen(${HTTP_PORT}, '::', () => console.log('ready'));
`;

const CLIENT = `
import json, socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
def whole(data):
    """The first answer and what is behind it, or None."""
    head, found, rest = data.partition(b'\\r\\n\\r\\n')
    if not found or not head.startswith(b'HTTP/'): return None
    lines = head.decode('latin1').lower().split('\\r\\n'); status = lines[0].split(' ')[1]
    fields = dict(line.split(': ', 1) for line in lines[1:])
    if status in ('100', '101', '204', '304'): return status, rest
    if fields.get('transfer-encoding') == 'chunked':
        body = b''
        while True:
            size, found, after = rest.partition(b'\\r\\n')
            if not found: return None
            n = int(size, 16)
            if len(after) < n + 2: return None
            body += after[:n]; rest = after[n + 2:]
            if not n: return status + ' ' + body.decode('latin1'), rest
    n = 0 if heads and heads[0] else int(fields.get('content-length', '0'))
    if len(rest) < n: return None
    return status + ' ' + rest[:n].decode('latin1'), rest[n:]
class Talk:
    def __init__(self): self.answers, self.data, self.over, self.heads, self.s, self.seconds = [], b'', None, heads, None, seconds
    def read(self, limit):
        self.s.settimeout(max(limit - time.monotonic(), 0.001))
        try:
            got = self.s.recv(65536)
            if not got: self.over = 'end'
            self.data += got
        except socket.timeout: self.over = 'time'
        except OSError: self.over = 'reset'
        while True:
            one = whole(self.data)
            if one is None: break
            text, self.data = one; self.answers.append(text)
            if not text.startswith('1') and heads: heads.pop(0)
    def step(self, step):
        limit = time.monotonic() + self.seconds
        try:
            if self.s is None:
                self.s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET); self.s.settimeout(self.seconds)
                self.s.connect((host, port)); self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if step[0] == 'send':
                self.s.settimeout(self.seconds); payload = step[1].encode('latin1')
                for line in payload.split(b'\\r\\n\\r\\n'):
                    words = line.split(b' ')
                    if len(words) > 2 and words[2].startswith(b'HTTP/1.'): heads.append(words[0] == b'HEAD')
                self.s.sendall(payload)
            elif step[0] == 'pause': time.sleep(step[1] / 1000)
            elif step[0] == 'within': self.seconds = step[1]
            elif step[0] == 'shut': self.s.shutdown(socket.SHUT_WR)
            elif step[0] == 'answers':
                while len(self.answers) < step[1] and not self.over: self.read(limit)
            elif step[0] == 'end':
                while not self.over: self.read(limit)
        except socket.timeout: self.over = 'time'
        except OSError as e: self.over = 'reset'
    def heard(self): return { 'answers': self.answers, 'rest': self.data.decode('latin1'), **({'over': self.over} if self.over else {}) }
heads = []
if len(sys.argv) > 4:
    talk = Talk()
    for line in sys.stdin: talk.step(json.loads(line)); print(json.dumps(talk.heard()), flush=True)
    sys.exit()
out = []
for steps in json.load(sys.stdin):
    heads.clear(); talk = Talk()
    for step in steps: talk.step(step)
    if talk.s: talk.s.close()
    out.append(talk.heard())
print(json.dumps(out))
`;
