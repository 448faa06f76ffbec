import { createServer, type Server, type ServerResponse } from 'node:http';
import { errorText } from '../../std/errors.ts';
import type { Logger } from '../../std/log.ts';
import type { Table } from '../../table/table.ts';
import type { HealthCheckRow } from './derive.ts';

export interface HealthCheckDependencies {
  readonly rows: Table<HealthCheckRow>;
  /** Whether this node serves services at all: with false, load balancers are told to stay away. */
  readonly isHealthy: () => boolean;
  /** A port could not be opened. */
  readonly onFailed: (row: HealthCheckRow, message: string) => void;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const retryMs = 5_000;

/**
 * One HTTP server for each healthCheckNodePort, at every address of the node, answering as kube-proxy does
 * (k8s.io/kubernetes/pkg/proxy/healthcheck): 200 where a ready endpoint is here, else 503, with the numbers as JSON.
 */
export class HealthCheckServers {
  readonly #dependencies: HealthCheckDependencies;
  readonly #open = new Map<string, { readonly server: Server; readonly port: number }>();
  #retry: NodeJS.Timeout | undefined;

  constructor(dependencies: HealthCheckDependencies) {
    this.#dependencies = dependencies;
    dependencies.signal.addEventListener('abort', () => this.#closeAll(), { once: true });
  }

  /** Makes the open ports those of the rows. What a port answers is looked up when it is asked. */
  sync(): void {
    const { rows, signal } = this.#dependencies;
    if (signal.aborted) return;
    for (const [key, { server, port }] of this.#open) if (rows.get(key)?.port !== port) this.#close(key, server);
    for (const row of rows.rows()) if (!this.#open.has(row.key)) this.#listen(row);
  }

  #listen({ key, port }: HealthCheckRow): void {
    const { rows, onFailed, log } = this.#dependencies;
    // A probe is one small request; who holds connections open is shown out.
    const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 1_000 }, (_, response) => this.#answer(key, response));
    server.maxConnections = 128;
    server.on('error', error => {
      this.#close(key, server);
      const row = rows.get(key);
      if (!row || row.port !== port) return;
      log.warn('health check port cannot be opened', { service: key, port, error: errorText(error) });
      onFailed(row, `health check port ${port}: ${errorText(error)}`);
      this.#retry ??= setTimeout(() => {
        this.#retry = undefined;
        this.sync();
      }, retryMs).unref();
    });
    this.#open.set(key, { server, port });
    server.listen({ port, host: '::', ipv6Only: false });
  }

  #answer(key: string, response: ServerResponse): void {
    const row = this.#dependencies.rows.get(key);
    if (!row) return void response.writeHead(404).end();
    const healthy = this.#dependencies.isHealthy();
    const body = JSON.stringify({ service: { namespace: row.namespace, name: row.name }, localEndpoints: row.localEndpoints, serviceProxyHealthy: healthy }, undefined, '\t');
    response.writeHead(row.localEndpoints > 0 && healthy ? 200 : 503, {
      'content-type': 'application/json', 'x-content-type-options': 'nosniff', 'x-load-balancing-endpoint-weight': String(row.localEndpoints), connection: 'close',
    });
    response.end(`${body}\n`);
  }

  #close(key: string, server: Server): void {
    if (this.#open.get(key)?.server === server) this.#open.delete(key);
    server.close();
    server.closeAllConnections();
  }

  #closeAll(): void {
    if (this.#retry) clearTimeout(this.#retry);
    for (const [key, { server }] of [...this.#open]) this.#close(key, server);
  }
}
