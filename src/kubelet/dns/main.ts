/**
 * `cirri/dns`: serves the zone that the kubelet keeps in a file (CIRRI_ZONE, /zone/zone.json), the rest from /etc/resolv.conf.
 * :8181/ready says whether there is a zone, :9153/metrics counts. Goes on with the last zone whatever happens to the file.
 */
import { readFileSync, watch } from 'node:fs';
import http from 'node:http';
import { dirname } from 'node:path';
import { createLogger } from '../../std/log.ts';
import { errorText } from '../../std/errors.ts';
import { parseResolvConf } from '../hostfiles.ts';
import { createForwarder, usableUpstreams } from './forward.ts';
import { serveDns } from './server.ts';
import type { Snapshot } from './snapshot.ts';
import { zoneOf } from './zone.ts';
import type { Zone } from './zone.ts';

const log = createLogger({ component: 'dns' });
const file = process.env['CIRRI_ZONE'] ?? '/zone/zone.json';
const counts = new Map<string, number>();
let zone: Zone | undefined;
let text = '';

function load(): void {
  try {
    const now = readFileSync(file, 'utf8');
    if (now === text) return;
    zone = zoneOf(JSON.parse(now) as Snapshot, Math.floor(Date.now() / 1000));
    text = now;
    log.debug('zone loaded', { services: zone.services.size });
  } catch (error) {
    if (!zone) log.warn('there is no zone yet', { file, error: errorText(error) });
  }
}

load();
// The file is replaced by rename: the folder is watched, and looked at now and then should the watch have missed something.
try {
  watch(dirname(file), load).on('error', () => {});
} catch (error) {
  log.warn('the zone folder cannot be watched, it is read every second', { error: errorText(error) });
}
setInterval(load, 1000);

const resolver = parseResolvConf(readFileSync('/etc/resolv.conf', 'utf8'));
const upstreams = usableUpstreams(resolver.servers, (process.env['CIRRI_DNS_IPS'] ?? '').split(','));
const responder = {
  zone: () => zone,
  forward: createForwarder({ upstreams }),
  count: (outcome: string) => void counts.set(outcome, (counts.get(outcome) ?? 0) + 1),
};
const server = await serveDns({ port: Number(process.env['CIRRI_DNS_PORT'] ?? 53) }, responder);

function page(path: string): [number, string] {
  if (path === '/ready' || path === '/health') return path === '/health' || zone ? [200, 'OK\n'] : [503, 'there is no zone yet\n'];
  if (path !== '/metrics') return [404, 'not found\n'];
  const lines = [...counts].map(([outcome, n]) => `cirri_dns_queries_total{outcome="${outcome}"} ${n}`);
  return [200, ['# HELP cirri_dns_queries_total Queries by how they were answered.', '# TYPE cirri_dns_queries_total counter', ...lines, `cirri_dns_services ${zone?.services.size ?? 0}`, ''].join('\n')];
}

for (const port of [8181, 9153]) {
  http.createServer((request, response) => {
    const [code, body] = page(request.url ?? '/');
    response.writeHead(code, { 'content-type': 'text/plain' }).end(body);
  }).on('error', error => log.warn('a side port is not served', { port, error: error.message })).listen(port);
}

log.info('serving', { port: server.port, upstreams: upstreams.map(u => u.address), services: zone?.services.size ?? 0 });
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.on(name, () => {
    server.close();
    process.exit(0);
  });
}
