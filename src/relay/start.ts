import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { clientTls, relayServerTls } from '../hubble/certificates.ts';
import { healthMethods } from '../hubble/health.ts';
import { reflectionMethods } from '../hubble/reflection.ts';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { startRpcServer, type RpcServer, type RpcServerOptions } from '../rpc/server.ts';
import { RpcError, RpcStatus, type Call, type Method } from '../rpc/types.ts';
import { CirriError, errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { AccessTokens, bearerToken, rootAccess, type Access } from './access.ts';
import { forwardTcp } from './forward.ts';
import { cirriFlowsMethods } from './cirri-flows.ts';
import { Nodes } from './nodes.ts';
import { observerMethods } from './observer.ts';
import { readRelayRecord, writeRelayRecord } from './record.ts';
import { watchPeers } from './peers.ts';
import { startWeb } from './web/start.ts';

/** Upstream's port, and the host that only this machine's users reach. */
const loopback = '127.0.0.1';
const firstPort = 4245;
const ports = 100;

export interface Relay {
  readonly nodes: Nodes;
  readonly address: { readonly host: string; readonly port: number };
  close(): Promise<void>;
}

/**
 * Hubble Relay of an instance: one Observer over all nodes.
 *
 *     hubble.sock of a node ─ Peer.Notify ─► nodes ─ 4244, mTLS ─► relay.sock, 127.0.0.1:4245
 */
export async function startRelay(options: { readonly record: ClusterRecord; readonly paths: StatePaths }, dependencies: { readonly log: Logger }): Promise<Relay> {
  const { record, paths } = options;
  const { log } = dependencies;
  const leaving = new AbortController();
  const nodes = new Nodes({ log });
  const tokens = new AccessTokens(paths.hubbleDir);
  const methods = (access: (call: Call) => Access): Method[] => withServices([...observerMethods({ nodes, access, version: record.version, nodeName: hostname() }), ...cirriFlowsMethods({ nodes, access })]);
  const headers = { 'hubble-relay-version': record.version };
  const servers: Pick<RpcServer, 'close'>[] = [];
  try {
    servers.push(await startRpcServer({ listen: { socketPath: paths.relaySocket }, methods: methods(() => rootAccess), headers }, { log }));
    const tcp = await listenOnLoopback(readRelayRecord(paths.hubbleDir).grpc?.port, port => startRpcServer({ listen: { host: loopback, port }, methods: methods(() => rootAccess), headers }, { log }));
    servers.push(tcp);
    const address = tcp.address as { host: string; port: number };
    writeRelayRecord(paths.hubbleDir, { grpc: { host: address.host, port: address.port } });
    const withToken = { methods: methods(call => tokenAccess(call, tokens)), headers };
    servers.push(...await listenElsewhere(record, paths.hubbleDir, withToken, log));
    const services = record.nodes.map(node => ({ socketPath: paths.node(node.name).hubbleSocket }));
    void watchPeers({ services, tls: serverName => clientTls(paths.hubbleDir, serverName) }, { nodes, log }, leaving.signal);
    if (record.settings.hubble.ui.enabled) await serveWeb();
    return { nodes, address, close: () => close() };
  } catch (error) {
    await close();
    throw error;
  }

  /** Flows are served without it, too. */
  async function serveWeb(): Promise<void> {
    try {
      const port = readRelayRecord(paths.hubbleDir).web?.port;
      const web = await startWeb({ record, paths, hosts: webNames(record), ...(port !== undefined && { port }) }, { tokens, log });
      servers.push(web);
      await forwardTcp({ host: record.underlay.host4, port: webPort }, web).then(forward => servers.push(forward), (error: unknown) => log.warn('the web UI is not served to pods', { error: errorText(error) }));
      writeRelayRecord(paths.hubbleDir, { web: { host: web.host, port: web.port } });
    } catch (error) {
      log.error('the web UI cannot be served', { error: errorText(error) });
    }
  }

  async function close(): Promise<void> {
    leaving.abort();
    await Promise.all(servers.map(server => server.close()));
    nodes.close();
  }
}

/** With what gRPC's own tools ask for. */
function withServices(methods: Method[]): Method[] {
  const all = [...methods, ...healthMethods(['observer.Observer'])];
  return [...all, ...reflectionMethods(all)];
}

/** The port of the last time where it is free still, else the first free one from 4245 on: instances run beside each other. */
async function listenOnLoopback(last: number | undefined, listen: (port: number) => Promise<RpcServer>): Promise<RpcServer> {
  const wanted = [...(last === undefined ? [] : [last]), ...Array.from({ length: ports }, (_, i) => firstPort + i)];
  for (const port of wanted) {
    try {
      return await listen(port);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
  throw new CirriError('ERR_LISTEN', `no port from ${firstPort} to ${firstPort + ports - 1} is free on ${loopback}`, { mend: 'see who uses them: ss -ltnp' });
}

/** Pods reach the web UI through the service `hubble-ui`, which leads here; like everybody it asks them for a session or a token. */
const webPort = 8081;

function webNames({ clusterDomain, underlay }: ClusterRecord): string[] {
  return ['hubble-ui.kube-system', 'hubble-ui.kube-system.svc', `hubble-ui.kube-system.svc.${clusterDomain}`, underlay.host4];
}

const renewEveryMs = 30_000;

/**
 * Where others reach it, with a token: pods through the service `hubble-relay` on the underlay, and whoever reaches the address
 * that the operator has named. Flows are served without these, too.
 */
async function listenElsewhere(record: ClusterRecord, hubbleDir: string, serve: Pick<RpcServerOptions, 'methods' | 'headers'>, log: Logger): Promise<Pick<RpcServer, 'close'>[]> {
  const { relay, tls } = record.settings.hubble;
  const servers: Pick<RpcServer, 'close'>[] = [];
  const listen = async (host: string, port: number, file?: string) => {
    try {
      const server = await startRpcServer({ ...serve, listen: { host, port, ...(file !== undefined && { tls: relayServerTls(hubbleDir) }) } }, { log });
      servers.push(server);
      if (file !== undefined) servers.push(renewing(server, hubbleDir, file, log));
    } catch (error) {
      log.error('the relay is not served there', { host, port, error: errorText(error) });
    }
  };
  await listen(record.underlay.host4, firstPort);
  if (relay.listenHost !== '') await listen(relay.listenHost, relay.listenPort, tls.enabled ? join(hubbleDir, 'relay-server.crt') : undefined);
  return servers;
}

/** Takes other certificates when their file has changed, until it is closed. */
function renewing(server: Pick<RpcServer, 'renew'>, hubbleDir: string, file: string, log: Logger): { close(): Promise<void> } {
  let known = statSync(file).mtimeMs;
  const timer = setInterval(() => {
    try {
      const { mtimeMs } = statSync(file);
      if (mtimeMs === known) return;
      server.renew(relayServerTls(hubbleDir));
      known = mtimeMs;
    } catch (error) {
      log.warn('new certificates could not be taken', { file, error: errorText(error) });
    }
  }, renewEveryMs);
  timer.unref();
  return { close: () => Promise.resolve(clearInterval(timer)) };
}

/** What the bearer of the call's token may see. Throws RpcError UNAUTHENTICATED. */
export function tokenAccess(call: Pick<Call, 'metadata'>, tokens: AccessTokens): Access {
  const access = tokens.check(bearerToken(call.metadata.get('authorization')));
  if (!access) throw new RpcError(RpcStatus.unauthenticated, 'a token is needed here: metadata "authorization: Bearer TOKEN", made by cirri hubble token create');
  return access;
}
