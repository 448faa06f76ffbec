import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Method, RpcTls } from '../rpc/types.ts';
import { startRpcServer, type RpcServer } from '../rpc/server.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { serverTls } from './certificates.ts';
import { healthMethods } from './health.ts';
import { observerMethods, type ObserverDependencies, type ObserverOptions } from './observer.ts';
import { peerMethods, type PeerSource } from './peer.ts';
import { reflectionMethods } from './reflection.ts';

export interface HubbleServerOptions extends ObserverOptions {
  readonly socketPath: string;
  /** Where the node is reached; port 0 takes a free one. */
  readonly tcp: { readonly host: string; readonly port: number };
  /** Folder of the certificates; undefined serves in the clear. */
  readonly certificates: string | undefined;
}

export interface HubbleServerDependencies extends ObserverDependencies {
  readonly peers: PeerSource;
  /** More services for the same ports: `cirri.Flows`. */
  readonly methods?: readonly Method[];
  readonly log: Logger;
}

export interface HubbleServer {
  /** Of the TCP side; undefined while it cannot listen. */
  readonly address: RpcServer['address'] | undefined;
  /** Why it does not listen there. */
  readonly trouble: string | undefined;
  close(): Promise<void>;
}

/** How often new certificates are looked for, and a port that could not be had is tried again. */
const lookEveryMs = 30_000;
const sampleEveryMs = 5_000;

/**
 * Hubble's API of a node: the same services on a unix socket of root's and on TCP with mutual TLS. The unix socket must work
 * (rejects otherwise); TCP is tried again until it does.
 */
export async function startHubbleServer(options: HubbleServerOptions, dependencies: HubbleServerDependencies): Promise<HubbleServer> {
  const { log } = dependencies;
  const own = [...observerMethods(options, dependencies), ...peerMethods(dependencies.peers), ...(dependencies.methods ?? [])];
  const services = [...new Set(own.map(({ path }) => path.split('/')[1]!))];
  const served = [...own, ...healthMethods(services)];
  const methods = [...served, ...reflectionMethods(served)];
  const headers = { 'hubble-server-version': options.version };
  const local = await startRpcServer({ listen: { socketPath: options.socketPath }, methods, headers }, { log });
  const remote = new RemoteSide(options, methods, headers, log);
  await remote.look();
  const timers = [setInterval(() => void remote.look(), lookEveryMs), setInterval(() => dependencies.rate.sample(), sampleEveryMs)];
  for (const timer of timers) timer.unref();
  return {
    get address() {
      return remote.address;
    },
    get trouble() {
      return remote.trouble;
    },
    close: async () => {
      timers.forEach(timer => clearInterval(timer));
      await Promise.all([local.close(), remote.close()]);
    },
  };
}

/** The TCP side: begun when there are certificates, which are taken again when their file changes. */
class RemoteSide {
  readonly #options: HubbleServerOptions;
  readonly #methods: readonly Method[];
  readonly #headers: Readonly<Record<string, string>>;
  readonly #log: Logger;
  #server: RpcServer | undefined;
  #trouble: string | undefined;
  #certificateTime = 0;
  #looking = false;
  #closed = false;

  constructor(options: HubbleServerOptions, methods: readonly Method[], headers: Readonly<Record<string, string>>, log: Logger) {
    this.#options = options;
    this.#methods = methods;
    this.#headers = headers;
    this.#log = log;
  }

  get address(): RpcServer['address'] | undefined {
    return this.#server?.address;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  async look(): Promise<void> {
    if (this.#looking || this.#closed) return;
    this.#looking = true;
    try {
      const { tcp, certificates, nodeName } = this.#options;
      const tls = certificates === undefined ? undefined : this.#newTls(certificates, nodeName);
      if (!this.#server) this.#server = await startRpcServer({ listen: { ...tcp, ...(tls && { tls }) }, methods: this.#methods, headers: this.#headers }, { log: this.#log });
      else if (tls) this.#server.renew(tls);
      this.#trouble = undefined;
    } catch (error) {
      const text = errorText(error);
      if (text !== this.#trouble) this.#log.warn("Hubble's API does not listen for other nodes; trying again", { ...this.#options.tcp, error: text });
      this.#trouble = text;
      if (!this.#server) this.#certificateTime = 0;
    } finally {
      this.#looking = false;
    }
    if (this.#closed) await this.#server?.close();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#server?.close();
  }

  /** The certificates when they are others than the last time. */
  #newTls(folder: string, nodeName: string): RpcTls | undefined {
    const time = statSync(join(folder, `server-${nodeName}.crt`)).mtimeMs;
    if (time === this.#certificateTime) return undefined;
    this.#certificateTime = time;
    return serverTls(folder, nodeName);
  }
}
