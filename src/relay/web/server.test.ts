import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { WebMessage } from '../../model/web.ts';
import { silentLogger } from '../../std/log.ts';
import { SyntheticCluster } from '../../../tests/ui/synthetic.ts';
import { startWebServer, type WebServer } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'cirri-web-'));
const socketPath = join(folder, 'web.sock');
const sources = new SyntheticCluster({ namespaces: 3, nodes: 20, edges: 40, flowsPerSecond: 100, history: true });
const page = { type: 'text/html; charset=utf-8', body: Buffer.from('<!doctype html>') };
let server: WebServer;
let isGood = true;

before(async () => {
  server = await startWebServer({ instance: 'test', host: '127.0.0.1', port: 0, socketPath }, {
    sources, log: silentLogger, files: new Map([['/', page], ['/assets/main.js', { type: 'text/javascript', body: Buffer.from('') }]]),
    tokens: token => (token === 'long-lived' ? { namespaces: ['team-01'] } : token === 'taken back' && isGood ? {} : undefined),
  });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

interface Answer { readonly status: number; readonly headers: IncomingHttpHeaders; readonly text: string }

function ask(path: string, options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string; readonly unix?: true } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const target = options.unix ? { socketPath } : { host: '127.0.0.1', port: server.port };
    const call = httpRequest({ ...target, path, method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false }, response => {
      let text = '';
      response.on('data', chunk => (text += String(chunk)));
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    call.on('error', reject);
    call.end(options.body);
  });
}

async function signedIn(ticket: string): Promise<Record<string, string>> {
  const { headers, status } = await ask('/api/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token: ticket }) });
  assert.equal(status, 200);
  return { cookie: headers['set-cookie']![0]!.split(';')[0]! };
}

test('nothing is told to who is not signed in; the page itself holds no data and is there for all', async () => {
  for (const path of ['/api/session', '/api/watch', '/api/policies', '/api/flow/x', '/api/timeline?since=1&until=2']) assert.equal((await ask(path)).status, 401, path);
  for (const path of ['/', '/map?namespace=shop', '/policies']) assert.equal((await ask(path)).text, '<!doctype html>');
  assert.equal((await ask('/assets/../../../etc/passwd')).text, '<!doctype html>');
  assert.equal((await ask('/assets/none.js')).status, 404);
});

test('a ticket is good once, and gives a cookie that scripts cannot read and other sites do not send', async () => {
  const ticket = server.sessions.ticket({});
  const login = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ token: ticket }) };
  const [first, second] = [await ask('/api/login', login), await ask('/api/login', login)];
  assert.deepEqual([first.status, second.status], [200, 401]);
  assert.match(first.headers['set-cookie']![0]!, /^cirri_test=[\w-]{32}; Path=\/; HttpOnly; SameSite=Strict$/);
  const cookie = { cookie: first.headers['set-cookie']![0]!.split(';')[0]! };
  assert.equal(JSON.parse((await ask('/api/session', { headers: cookie })).text).cluster, 'synthetic');
  await ask('/api/logout', { method: 'POST', headers: { ...cookie, 'content-type': 'application/json' } });
  assert.equal((await ask('/api/session', { headers: cookie })).status, 401);
});

test('tickets come from the unix socket alone, which only root may open', async () => {
  const wanted = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' };
  assert.equal((await ask('/api/tickets', wanted)).status, 404);
  const { ticket, port } = JSON.parse((await ask('/api/tickets', { ...wanted, unix: true })).text) as { ticket: string; port: number };
  assert.equal(port, server.port);
  assert.equal((await ask('/api/session', { headers: await signedIn(ticket) })).status, 200);
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
});

test('a foreign name, origin or site is refused, whatever cookie it brings', async () => {
  const cookie = await signedIn(server.sessions.ticket({}));
  const tries: Record<string, string>[] = [
    { host: 'evil.example' }, { host: `evil.example:${server.port}` }, { host: '127.0.0.1.evil.example' }, { origin: 'http://evil.example' }, { origin: 'null' }, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'cors' }, { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' },
  ];
  for (const headers of tries) assert.equal((await ask('/api/session', { headers: { ...cookie, ...headers } })).status, 403, JSON.stringify(headers));
  for (const host of [`localhost:${server.port}`, `[::1]:${server.port}`, 'LOCALHOST', 'localhost:8080']) assert.equal((await ask('/api/session', { headers: { ...cookie, host } })).status, 200, host);
  assert.equal((await ask('/api/login', { method: 'POST', headers: { 'content-type': 'text/plain' }, body: '{}' })).status, 415, 'a form cannot sign in');
});

test('every answer forbids foreign scripts, frames and reading, and allows no origin', async () => {
  for (const path of ['/', '/assets/main.js', '/api/session', '/nonsense']) {
    const { headers } = await ask(path);
    assert.match(String(headers['content-security-policy']), /default-src 'none'; script-src 'self'; .*frame-ancestors 'none'; require-trusted-types-for 'script'/);
    assert.doesNotMatch(String(headers['content-security-policy']), /unsafe|https?:|\*/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.deepEqual(Object.keys(headers).filter(name => name.startsWith('access-control')), []);
  }
});

/** The stream's messages until one fulfils this. */
async function watch(path: string, headers: Record<string, string>, until: (messages: readonly WebMessage[]) => boolean): Promise<readonly WebMessage[]> {
  const leaving = new AbortController();
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { headers, signal: leaving.signal });
  const messages: WebMessage[] = [];
  let rest = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    messages.push(...lines.map(line => JSON.parse(line) as WebMessage));
    if (until(messages)) break;
  }
  leaving.abort();
  return messages;
}

const hasMapAndFlows = (messages: readonly WebMessage[]) => messages.some(m => m.type === 'map' || (m.type === 'hello' && m.intervals.length > 0)) && messages.some(m => m.type === 'flows' && m.past === undefined && m.flows.length > 0);

test('one stream tells the map, then flows; filters are applied at the nodes, and a filter that is none is refused', async () => {
  const cookie = await signedIn(server.sessions.ticket({}));
  const messages = await watch('/api/watch?flows=1&namespace=team-02&verdict=FORWARDED&events=all', cookie, hasMapAndFlows);
  assert.equal(messages[0]!.type, 'hello');
  const flows = messages.flatMap(m => (m.type === 'flows' ? m.flows : []));
  assert.ok(flows.every(flow => flow.verdict === 'FORWARDED' && [flow.source.namespace, flow.destination.namespace].includes('team-02')));
  assert.deepEqual(JSON.parse(sources.queries.at(-1)!).whitelist, [{ verdict: ['FORWARDED'], source_pod: ['team-02/'] }, { verdict: ['FORWARDED'], destination_pod: ['team-02/'] }]);
  const refused = await ask('/api/watch?verdict=NONSENSE', { headers: cookie });
  assert.deepEqual([refused.status, JSON.parse(refused.text).error], [400, 'no verdict is called NONSENSE']);
});

test('a session of namespaces sees flows and edges with an end there, and of the other end who it is and no more', async () => {
  const headers = { authorization: 'Bearer long-lived' };
  assert.deepEqual(JSON.parse((await ask('/api/session', { headers })).text).namespaces, ['team-01']);
  const messages = await watch('/api/watch?flows=1', headers, hasMapAndFlows);
  const flows = messages.flatMap(m => (m.type === 'flows' ? m.flows : []));
  const nodes = messages.flatMap(m => (m.type === 'hello' ? m.nodes : m.type === 'map' ? m.interval.nodes : []));
  const own = new Set(nodes.filter(node => node.namespace === 'team-01').map(node => node.id));
  assert.ok(own.size > 0 && flows.length > 0);
  for (const { source, destination } of flows) {
    assert.ok(source.namespace === 'team-01' || destination.namespace === 'team-01');
    for (const end of [source, destination]) if (end.namespace !== undefined && end.namespace !== 'team-01') assert.deepEqual([end.labels, end.podName], [[], undefined]);
  }
  for (const { edges } of messages.flatMap(m => (m.type === 'map' ? [m.interval] : m.type === 'hello' ? m.intervals : []))) for (const edge of edges) assert.ok(own.has(edge.source) || own.has(edge.destination));
  assert.deepEqual(nodes.filter(node => node.namespace !== 'team-01' && node.labels.some(label => !label.startsWith('reserved:'))), []);
  const foreign = sources.recent.find(flow => flow.source.namespace === 'team-02' && flow.destination.namespace === 'team-02')!;
  const mine = sources.recent.findLast(flow => flow.source.namespace === 'team-01')!;
  assert.deepEqual([(await ask(`/api/flow/${foreign.id}`, { headers })).status, (await ask(`/api/explain/${foreign.id}`, { headers })).status, (await ask(`/api/flow/${mine.id}`, { headers })).status], [404, 404, 200]);
  assert.deepEqual([(await ask('/api/matrix?namespace=team-02', { headers })).status, (await ask('/api/matrix?namespace=team-01', { headers })).status], [404, 200]);
  const past = JSON.parse((await ask('/api/past-map?since=2026-01-01T00:00:00Z&until=2026-01-01T01:00:00Z', { headers })).text) as { edges: { source: string; destination: string }[] };
  assert.ok(past.edges.length > 0 && past.edges.every(edge => edge.source.includes(':team-01/') || edge.destination.includes(':team-01/')));
});

test('a token that is taken back ends its sessions, and the streams that are open', async () => {
  const cookie = await signedIn('taken back');
  const response = await fetch(`http://127.0.0.1:${server.port}/api/watch`, { headers: cookie });
  assert.equal(response.status, 200);
  isGood = false;
  // Ends by itself: what comes until then is read away.
  for await (const chunk of response.body!) assert.ok(chunk.length > 0);
  assert.equal((await ask('/api/session', { headers: cookie })).status, 401);
});
