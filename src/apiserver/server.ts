import { createServer as createHttpServer } from 'node:http';
import type { Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, join } from 'node:path';
import { connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { CirriError, errorText } from '../std/errors.ts';
import { parsePrefix } from '../std/ip.ts';
import type { Logger } from '../std/log.ts';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { TokenIssuer } from './auth/tokens.ts';
import { bootstrap } from './bootstrap.ts';
import { ensureCertificates } from './certificates.ts';
import { expireEvents } from './expiry.ts';
import { createApi } from './http/api.ts';
import { createHandler } from './http/handler.ts';
import { withUpgrades } from './http/upgrade.ts';
import { renderKubeconfig } from './kubeconfig.ts';
import type { JsonObject } from './object.ts';
import { createOpenApi } from './openapi/serve.ts';
import { builtinTypes } from './registry/builtin.ts';
import { processAddress } from './processes.ts';
import { Registry } from './registry/registry.ts';
import { ensureSecrets, writePrivate } from './secrets.ts';
import { openSqlite } from './store/sqlite.ts';
import { Store } from './store/store.ts';
import { NumberPool } from './strategy/pool.ts';
import { serviceHooks } from './strategy/services.ts';
import type { ServicePools } from './strategy/services.ts';
import type { ApiContext, SemanticValidation } from './verbs/context.ts';
import { answerReview } from './verbs/reviews.ts';
import { createSubresources } from './verbs/subresources.ts';
import { CustomResources } from './crds/custom.ts';
import { NamespaceContents } from './namespaces.ts';
import { serverVersion } from './version.ts';

export interface ApiServerOptions {
  readonly record: ClusterRecord;
  readonly paths: StatePaths;
  /** CustomResourceDefinitions that exist from the start. */
  readonly definitions: readonly JsonObject[];
}

export interface ApiServerDependencies {
  readonly validate: SemanticValidation;
  readonly log: Logger;
  readonly now?: () => Date;
}

export interface ApiServer {
  readonly port: number;
  readonly ca: string;
  readonly adminToken: string;
  readonly context: ApiContext;
  /** Ends watches, waits for running requests, closes the store. */
  close(): Promise<void>;
}

/** Port of the API on the underlay, where pods reach it through the service `kubernetes`. */
const underlayPort = 6443;

/** Starts the API: opens the store, serves the built-in types and the stored CRDs, listens, writes the kubeconfig. */
export async function startApiServer(options: ApiServerOptions, dependencies: ApiServerDependencies): Promise<ApiServer> {
  const { record, paths } = options;
  const now = dependencies.now ?? (() => new Date());
  mkdirSync(paths.apiserverDir, { recursive: true, mode: 0o700 });
  mkdirSync(dirname(paths.apiserverSocket), { recursive: true, mode: 0o700 });
  const secrets = ensureSecrets(paths.apiserverDir);
  const certificates = ensureCertificates(paths.apiserverDir, ['127.0.0.1', firstServiceAddress(record), record.underlay.host4], now());
  const store = new Store(openSqlite(join(paths.apiserverDir, 'store.sqlite')));
  const registry = new Registry();
  const context: ApiContext = { store, registry, validate: dependencies.validate, now, uid: () => crypto.randomUUID(), log: dependencies.log };
  const services = serviceHooks(servicePools(record), () => [...store.collection('services').values()].map(e => e.object));
  const custom = new CustomResources(context);
  for (const type of builtinTypes(services, custom.hooks)) registry.add(type);
  custom.serveStored();
  bootstrap(context, options.definitions);
  const contents = new NamespaceContents(context);

  const stopping = new AbortController();
  expireEvents(store, now, stopping.signal);
  const tokens = new TokenIssuer(secrets.signingKey);
  const authenticator = { adminToken: secrets.adminToken, tokens, store, now };
  const answer = createApi(context, {
    version: serverVersion, serverAddress: `127.0.0.1:${record.apiserver.port}`, isReady: () => !stopping.signal.aborted,
    openapi: createOpenApi(registry), virtual: (resource, call) => answerReview(resource, call, authenticator),
    subresource: createSubresources({ context, tokens, kubelets: node => paths.node(node).kubeletSocket, processes: process => processAddress(paths.hubbleDir, process) }),
  });
  const handler = (trusted: boolean) => createHandler({ context, authenticator, signal: stopping.signal, answer }, trusted);
  const local = withUpgrades(createHttpServer({ keepAliveTimeout: 65_000 }), handler(true));
  const secure = () => withUpgrades(createHttpsServer({ cert: certificates.cert, key: certificates.key, keepAliveTimeout: 65_000 }), handler(false));
  const servers: Server[] = [local];
  try {
    await listenOnSocket(local, paths.apiserverSocket);
    const loopback = secure();
    servers.push(loopback);
    const port = await listenOnPort(loopback, '127.0.0.1', record.apiserver.port);
    const listenOnUnderlay = async () => {
      const underlay = secure();
      await listenOnPort(underlay, record.underlay.host4, underlayPort);
      servers.push(underlay);
    };
    if (hasAddress(record.underlay.host4)) await listenOnUnderlay();
    else awaitAddress(record.underlay.host4, listenOnUnderlay, stopping.signal, dependencies.log);
    writePrivate(paths.kubeconfig, renderKubeconfig({ name: record.instance, server: `https://127.0.0.1:${port}`, ca: certificates.ca, token: secrets.adminToken }));
    return {
      port, ca: certificates.ca, adminToken: secrets.adminToken, context,
      close: async () => {
        stopping.abort();
        contents.stop();
        await Promise.all(servers.map(closeServer));
        store.close();
      },
    };
  } catch (error) {
    await Promise.all(servers.map(closeServer));
    store.close();
    throw error;
  }
}

function servicePools(record: ClusterRecord): ServicePools {
  const range = (cidr: string) => {
    const { addr, bits } = parsePrefix(cidr);
    const last = 2 ** Math.min(16, 128 - bits) - 2;
    // The first 256 addresses are for those who ask for one by name (kubernetes, kube-dns), as upstream splits the range.
    const reserved = Math.min(256, Math.max(16, Math.floor(last / 16)));
    return { prefix: addr, pool: new NumberPool(`addresses of ${cidr}`, 1, last, reserved + Math.floor(Math.random() * (last - reserved) / 2)) };
  };
  const [first, end] = record.settings.nodePort.range;
  return { addresses: { IPv4: range(record.serviceCidr4), IPv6: range(record.serviceCidr6) }, nodePorts: new NumberPool('node ports', first, end, first + Math.floor(Math.random() * (end - first) * 0.7)) };
}

function firstServiceAddress(record: ClusterRecord): string {
  const parts = record.serviceCidr4.split('/')[0]!.split('.').map(Number);
  return [...parts.slice(0, 3), parts[3]! + 1].join('.');
}

function hasAddress(address: string): boolean {
  return Object.values(networkInterfaces()).some(list => list?.some(entry => entry.address === address));
}

/** The underlay may come up after the API: looks for its address from time to time, then listens there too. */
function awaitAddress(address: string, listenThere: () => Promise<void>, signal: AbortSignal, log: Logger): void {
  const timer = setInterval(() => {
    if (!hasAddress(address)) return;
    clearInterval(timer);
    listenThere().then(() => log.info('the API is served on the underlay', { address }), (error: unknown) => log.error('the API is not served on the underlay', { address, error: errorText(error) }));
  }, 2_000);
  timer.unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
}

/** A socket file that a killed process left is removed; one that answers belongs to a server that runs. */
async function listenOnSocket(server: Server, path: string): Promise<void> {
  if (await answers(path)) throw new CirriError('ERR_API_RUNNING', `listening on ${path}: another API server answers there`, { mend: 'stop it first, or use another CIRRI_INSTANCE' });
  rmSync(path, { force: true });
  const before = process.umask(0o177);
  try {
    await listen(server, { path });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
}

function answers(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    socket.on('connect', () => { socket.destroy(); resolve(true); });
    socket.on('error', () => resolve(false));
  });
}

async function listenOnPort(server: Server, host: string, port: number): Promise<number> {
  await listen(server, { host, port });
  return (server.address() as AddressInfo).port;
}

function listen(server: Server, where: { path: string } | { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const text = 'path' in where ? where.path : `${where.host}:${where.port}`;
    server.once('error', cause => reject(new CirriError('ERR_LISTEN', `listening on ${text}`, { cause, mend: 'see who uses it: ss -ltnp' })));
    server.listen(where, resolve);
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), 500).unref();
  });
}
