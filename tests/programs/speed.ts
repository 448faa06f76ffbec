/**
 * What one packet costs in the programs, by BPF_PROG_TEST_RUN: `node26 tests/programs/speed.ts [--write]`; `make -C bpf cost` writes
 * `bpf/cost.txt`. Before each run a program of ours makes the packet anew (speed.bpf.c); its time, with a program behind it that does
 * nothing, is taken off. Each figure is the least of many short measurements in turns: what a quiet processor takes.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { HttpL7Rule } from '../../src/model/l7.ts';
import { PolicyVerdictKind } from '../../src/datapath/generated/enums.ts';
import { backendPort, Datapath, families, mac, servicePort, set, type Family, type ProgramName } from './harness.ts';
import { compileHttpTables } from '../../src/policy/http-tables.ts';
import { address, answerTo, buildMessage } from './dns-message.ts';
import { HttpTrial } from './http-trial.ts';
import { allowNames, loadAutomaton, namesAreInForce, query, redirectDns, reply } from './names.ts';
import { PacketMill, templateBytes } from './mill.ts';
import { buildFrame, type FrameSpec } from './packet.ts';
import { MARK_FROM_PROXY } from './proxy-rig.ts';

const costPath = fileURLToPath(new URL('../../bpf/cost.txt', import.meta.url));
const rounds = 60;
const repeat = 4000;
/** Each of these runs has a port of its own. */
const newFlowRounds = 15;

interface Row {
  readonly name: string;
  readonly program: ProgramName;
  /** `prepare` has sent what comes before; the frame is what is measured. */
  readonly prepare: (datapath: Datapath, family: Family) => FrameSpec;
  /** A new connection with each run. */
  readonly newFlows?: boolean;
}

const payload = new Uint8Array(templateBytes);
const toNeighbour = (family: Family, change: Partial<FrameSpec> = {}): FrameSpec =>
  ({ sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort: 40000, destinationPort: backendPort, flags: 'A', payload, ...change });
const fromNeighbour = (family: Family, change: Partial<FrameSpec> = {}): FrameSpec =>
  toNeighbour(family, { sourceMac: mac.b, source: family.b, destination: family.a, sourcePort: backendPort, destinationPort: 40000, ...change });
const toRemote = (family: Family, change: Partial<FrameSpec> = {}) => toNeighbour(family, { destination: family.remote, ...change });
const fromRemote = (family: Family, change: Partial<FrameSpec> = {}) => fromNeighbour(family, { source: family.remote, ...change });
const toService = (family: Family, change: Partial<FrameSpec> = {}) => toNeighbour(family, { destination: family.service, destinationPort: servicePort, ...change });

/** A connection with SYN, SYN-ACK and ACK. */
function open(datapath: Datapath, to: FrameSpec, back: FrameSpec, answers: ProgramName): void {
  datapath.send('from_pod', { ...to, flags: 'S' });
  datapath.send(answers, { ...back, flags: 'SA' });
  datapath.send('from_pod', to);
}

/** 40 bytes of name, beside a hundred names and ten patterns. */
const question = { name: 'orders-7.checkout.internal.example.org', edns: 4096 } as const;
const answer = answerTo({ ...question, answers: [address('192.0.2.7')] });

/** The connection of a pod to a resolver on its node, under rules for names or without. */
function talkDns(datapath: Datapath, family: Family, rules: boolean): void {
  if (rules) {
    const patterns = [...Array.from({ length: 100 }, (_, i) => `host-${i}.example.com`), ...Array.from({ length: 9 }, (_, i) => `*.zone-${i}.example.net`), '**.example.org'];
    allowNames(datapath.maps, loadAutomaton(datapath.maps, patterns), patterns);
    redirectDns(datapath);
    namesAreInForce(datapath.maps);
  }
  datapath.send('from_pod', query(family, buildMessage(question)));
  datapath.send('from_pod', reply(family, answer));
}

const rows: readonly Row[] = [
  {
    name: 'direct, between pods of the node', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toNeighbour(family), fromNeighbour(family), 'from_pod');
      return toNeighbour(family);
    },
  },
  {
    name: 'direct, reply between pods of the node', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toNeighbour(family), fromNeighbour(family), 'from_pod');
      return fromNeighbour(family);
    },
  },
  {
    name: 'direct, to a pod elsewhere', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toRemote(family), fromRemote(family), 'from_network');
      return toRemote(family);
    },
  },
  {
    name: 'direct, from a pod elsewhere', program: 'from_network',
    prepare: (datapath, family) => {
      open(datapath, toRemote(family), fromRemote(family), 'from_network');
      return fromRemote(family);
    },
  },
  {
    name: 'direct, UDP between pods of the node', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toNeighbour(family, { protocol: 'udp' }), fromNeighbour(family, { protocol: 'udp' }), 'from_pod');
      return toNeighbour(family, { protocol: 'udp' });
    },
  },
  { name: 'direct, first packet', program: 'from_pod', newFlows: true, prepare: (_, family) => toNeighbour(family, { flags: 'S' }) },
  {
    name: 'service, to its backend', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toService(family), fromNeighbour(family), 'from_pod');
      return toService(family);
    },
  },
  {
    name: 'service, reply', program: 'from_pod',
    prepare: (datapath, family) => {
      open(datapath, toService(family), fromNeighbour(family), 'from_pod');
      return fromNeighbour(family);
    },
  },
  { name: 'service, first packet', program: 'from_pod', newFlows: true, prepare: (_, family) => toService(family, { flags: 'S' }) },
  {
    name: 'masqueraded, to the world', program: 'from_pod',
    prepare: (datapath, family) => {
      const packet = toNeighbour(family, { destination: family.world });
      datapath.send('from_pod', { ...packet, flags: 'S' });
      datapath.send('from_pod', packet);
      return packet;
    },
  },
  {
    name: 'proxied, from the client', program: 'from_pod',
    prepare: (datapath, family) => {
      const to = toNeighbour(family);
      datapath.verdict({ set: set.bIngress, protocol: 6, verdict: PolicyVerdictKind.Redirect, rule: 1, match: 4, l7: 1 });
      // Nobody listens here: its first packet is dropped, and known.
      datapath.send('from_pod', { ...to, flags: 'S' });
      datapath.send('to_pod', { ...fromNeighbour(family), flags: 'SA' }, { mark: MARK_FROM_PROXY });
      datapath.send('from_pod', to);
      return to;
    },
  },
  {
    name: 'proxied, from the server', program: 'from_pod',
    prepare: (datapath, family) => {
      const ours = { sourcePort: 20_000 }, theirs = fromNeighbour(family, { destinationPort: 20_000 });
      datapath.send('to_pod', toNeighbour(family, { ...ours, flags: 'S' }), { mark: MARK_FROM_PROXY });
      datapath.send('from_pod', { ...theirs, flags: 'SA' });
      datapath.send('to_pod', toNeighbour(family, ours), { mark: MARK_FROM_PROXY });
      return theirs;
    },
  },
  { name: 'dropped: another\'s address', program: 'from_pod', prepare: (_, family) => toNeighbour(family, { source: family.stranger }) },
  {
    name: 'DNS question, no rules', program: 'from_pod',
    prepare: (datapath, family) => {
      talkDns(datapath, family, false);
      return query(family, buildMessage(question));
    },
  },
  {
    name: 'DNS question, under rules', program: 'from_pod',
    prepare: (datapath, family) => {
      talkDns(datapath, family, true);
      return query(family, buildMessage(question));
    },
  },
  {
    name: 'DNS answer, no rules', program: 'from_pod',
    prepare: (datapath, family) => {
      talkDns(datapath, family, false);
      return reply(family, answer);
    },
  },
  {
    name: 'DNS answer, learned', program: 'from_pod',
    prepare: (datapath, family) => {
      talkDns(datapath, family, true);
      return reply(family, answer);
    },
  },
  { name: 'for the node itself', program: 'from_network', prepare: (_, family) => toNeighbour(family, { source: family.otherNode, destination: family.node, destinationPort: 22 }) },
  { name: 'from the node itself', program: 'to_network', prepare: (_, family) => toNeighbour(family, { source: family.node, destination: family.otherNode, destinationPort: 22 }) },
];

/** Heads as nginx and wrk send them, and as browsers do. */
const heads: readonly { readonly name: string; readonly answer?: boolean; readonly bytes: Buffer }[] = [
  { name: 'HTTP request read, bench', bytes: buildHead('GET /api/v1/products/7 HTTP/1.1', 'Host: 10.244.1.4:9005') },
  { name: 'HTTP request read, browser', bytes: buildHead('GET /api/v1/products/7 HTTP/1.1', 'Host: shop.example', 'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101', 'Accept: application/json', 'Accept-Language: en-US,en;q=0.5', 'Accept-Encoding: gzip, deflate, br', 'Connection: keep-alive') },
  { name: 'HTTP answer read, nginx', answer: true, bytes: buildHead('HTTP/1.1 200 OK', 'Server: nginx/1.24.0', 'Date: Sat, 28 Nov 2026 21:13:44 GMT', 'Content-Type: text/plain', 'Content-Length: 1024', 'Connection: keep-alive') },
  { name: 'HTTP answer read, chunked', answer: true, bytes: buildHead('HTTP/1.1 404 Not Found', 'x-powered-by: Express', 'content-type: application/json; charset=utf-8', 'ETag: W/"1a2-Xq"', 'Vary: Accept-Encoding', 'Transfer-Encoding: chunked', 'Connection: close') },
];

function buildHead(...lines: readonly string[]): Buffer {
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

const rulesOfHeads: readonly HttpL7Rule[] = [{ rule: 1, method: 'GET', path: '/api/v1/.*', headers: [] }];

/** Without packets: the readers alone. */
function measureHeads(only: string | undefined): string[] {
  const wanted = heads.filter(head => !only || head.name.includes(only));
  if (wanted.length === 0) return [];
  using trial = new HttpTrial();
  const compiled = compileHttpTables(rulesOfHeads);
  if ('unfit' in compiled) throw new Error(compiled.unfit);
  trial.put(1, compiled.tables);
  return wanted.map(({ name, bytes, answer = false }) => {
    let least = Infinity;
    for (let round = 0; round < rounds; round++) least = Math.min(least, trial.headNs(bytes, { set: 1, times: repeat, answer }));
    const line = `${'http_trial'.padEnd(14)}${name} (${bytes.length} bytes)`.padEnd(52) + Math.round(least).toString().padStart(8);
    console.log(line);
    return line;
  });
}

const mill = new PacketMill();

function measure(datapath: Datapath, row: Row, family: Family): number {
  datapath.reset();
  const built = buildFrame(row.prepare(datapath, family));
  // As a short frame on a wire: padded.
  const frame = new Uint8Array(Math.max(built.length, templateBytes));
  frame.set(built);
  const offset = row.newFlows ? 14 + (family.name === 'IPv4' ? 20 : 40) : 0;
  const program = datapath.programFd(row.program);
  let empty = Infinity;
  let least = Infinity;
  for (let round = 0; round < (row.newFlows ? newFlowRounds : rounds); round++) {
    const port = { offset, first: 1024 + round * repeat };
    empty = Math.min(empty, mill.run(mill.nothing, frame, { repeat, port }));
    least = Math.min(least, mill.run(program, frame, { repeat, port }));
  }
  return least - empty;
}

const datapath = new Datapath();
const only = process.argv.slice(2).find(argument => !argument.startsWith('--'));
const lines = ['nanoseconds of one packet, net of an empty program'.padEnd(52) + families.map(family => family.name.padStart(8)).join('')];
for (const row of rows.filter(row => !only || row.name.includes(only))) {
  lines.push(`${row.program.padEnd(14)}${row.name}`.padEnd(52) + families.map(family => String(measure(datapath, row, family)).padStart(8)).join(''));
  console.log(lines.at(-1));
}
lines.push(...measureHeads(only));
if (process.argv.includes('--write')) writeFileSync(costPath, `${lines.join('\n')}\n`);
datapath.close();
mill.close();
