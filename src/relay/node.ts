import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { HealthCheckRequestSchema, HealthCheckResponse_ServingStatus, HealthCheckResponseSchema } from '../hubble/generated/grpc/health/v1/health_pb.js';
import { RpcClient } from '../rpc/client.ts';
import { RpcError, RpcStatus, type RpcTarget } from '../rpc/types.ts';
import { backoffMs, delay, Signal } from '../std/async.ts';
import { errorText } from '../std/errors.ts';

/** A node as its peers tell of it. */
export interface Peer {
  /** `node`, or `cluster/node` of another cluster. */
  readonly name: string;
  /** `172.30.0.11:4244` or `unix:///path`. */
  readonly address: string;
  /** The name that its certificate bears; undefined: no TLS. */
  readonly serverName: string | undefined;
  /** Asked at each dialling: certificates are renewed. */
  readonly target: () => RpcTarget;
}

export type NodeState = 'connecting' | 'connected' | 'unavailable';

export interface NodeTimes {
  /** Between two questions whether it still lives, and how long an answer may take. */
  readonly healthMs: number;
  /** The longest that a node that is away is left alone; the first retries come sooner. */
  readonly retryMs: number;
}

const defaultTimes: NodeTimes = { healthMs: 5_000, retryMs: 30_000 };
/** Why a connection failed, without the call that it failed for. */
export function plainReason(text: string): string {
  return /\b(connect E[A-Z]+ [^():]\S*?)(?=[\s):]*(?:$|\)|: connect))/.exec(text)?.[1] ?? text.replace(/^\/[\w.]+\/\w+: /, '');
}

const healthCheck = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: 'observer.Observer' }));

/** The connection to one node: kept, watched, and made again with growing pauses. Streams on it end with an error when it breaks. */
export class NodeConnection {
  readonly peer: Peer;
  readonly #times: NodeTimes;
  readonly #leaving = new AbortController();
  readonly #onChange: (node: NodeConnection) => void;
  readonly #doubt = new Signal();
  #client: RpcClient | undefined;
  #state: NodeState = 'connecting';
  #error = '';

  constructor(peer: Peer, onChange: (node: NodeConnection) => void, times: NodeTimes = defaultTimes) {
    this.peer = peer;
    this.#onChange = onChange;
    this.#times = times;
  }

  get name(): string {
    return this.peer.name;
  }

  get state(): NodeState {
    return this.#state;
  }

  /** Why it is unavailable. */
  get error(): string {
    return this.#error;
  }

  /** To call it by. Throws RpcError while it is not connected. */
  get client(): RpcClient {
    if (!this.#client || this.#state !== 'connected') throw new RpcError(RpcStatus.unavailable, this.#error || `${this.name} is not connected yet`);
    return this.#client;
  }

  /** A call has failed: look at once whether the node is still there. */
  doubt(): void {
    this.#doubt.mark();
  }

  /** Until `close`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#leaving;
    for (let attempt = 0; !signal.aborted; attempt++) {
      let client: RpcClient | undefined;
      try {
        client = new RpcClient(this.peer.target(), { userAgent: 'hubble-relay', connectTimeoutMs: this.#times.healthMs });
        for (;;) {
          await this.#check(client, signal);
          attempt = 0;
          this.#client = client;
          this.#become('connected', '');
          await this.#doubt.wait({ timeoutMs: this.#times.healthMs, signal });
          signal.throwIfAborted();
        }
      } catch (error) {
        this.#client = undefined;
        client?.close();
        if (signal.aborted) return;
        this.#become('unavailable', plainReason(errorText(error)));
      }
      await delay(backoffMs(attempt, { baseMs: 100, maxMs: this.#times.retryMs }), signal).catch(() => {});
    }
  }

  close(): void {
    this.#leaving.abort();
    this.#client?.close();
    this.#client = undefined;
    this.#state = 'unavailable';
  }

  async #check(client: RpcClient, signal: AbortSignal): Promise<void> {
    try {
      const answer = fromBinary(HealthCheckResponseSchema, await client.unary('/grpc.health.v1.Health/Check', healthCheck, { timeoutMs: this.#times.healthMs, signal }));
      if (answer.status !== HealthCheckResponse_ServingStatus.SERVING) throw new RpcError(RpcStatus.unavailable, `${this.name} does not serve flows`);
    } catch (error) {
      // A server without the health service has answered all the same.
      if (!(error instanceof RpcError) || error.code !== RpcStatus.unimplemented) throw error;
    }
  }

  #become(state: NodeState, error: string): void {
    const changed = state !== this.#state;
    this.#state = state;
    this.#error = error;
    if (changed) this.#onChange(this);
  }
}
