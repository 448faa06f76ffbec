import type { FlowL7 } from './flow.ts';

/** A record as the proxy writes it to the agent, one a line: CLOCK_MONOTONIC in microseconds, the ends, what was decided, what it was. */
export type RecordLine = readonly [
  timeUs: number,
  client: string, clientPort: number, server: string, serverPort: number,
  sourceIdentity: number, destinationIdentity: number, sourceEndpoint: number, destinationEndpoint: number,
  /** Key of service_addresses; 0: none. */
  service: number,
  verdict: 'FORWARDED' | 'DROPPED' | 'ERROR', direction: 'EGRESS' | 'INGRESS', rule: number, l7: FlowL7, traceId?: string,
];

/** The first line of a worker to the agent: which of its descriptors listen, so that the agent keeps them too and they outlive it. */
export interface ProxyHello {
  readonly hello: { readonly pid: number; readonly worker: number; readonly listeners: readonly number[] };
}

/** The agent's first line: the listening sockets that it keeps, by worker, as its own descriptors. */
export interface KeptListeners {
  readonly pid: number;
  readonly listeners: Readonly<Record<string, readonly number[]>>;
  /** `frameVersion` of l7-frame.ts, which it understands besides lines; absent: none. */
  readonly frames?: number;
}

/** `GET /v1/status` of a worker of the node's proxy. */
export interface ProxyStatus {
  readonly pid: number;
  readonly worker: number;
  readonly since: string;
  readonly connections: number;
  readonly accepted: number;
  /** From and to other processes, at restarts. */
  readonly takenOver: number;
  readonly handedOver: number;
  readonly requests: number;
  readonly denied: number;
  /** Connections that were not taken or cut off, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  readonly sets: number;
  /** Sets that could not be loaded: what asks for them is refused. */
  readonly faults: readonly string[];
  readonly queuedBytes: number;
  readonly rssBytes: number;
  readonly records: { readonly sent: number; readonly lost: number; readonly connected: boolean };
  /** Another process has taken its place: it ends with its last connection. */
  readonly draining: boolean;
  /** The process that takes its place when it dies; none where `l7.spare` is off, or while it starts. */
  readonly spare?: { readonly pid: number; readonly rssBytes: number };
}

/** A connection whose layer 7 is read, whoever does that. */
export interface CarriedConnection {
  /** `ADDRESS:PORT`. */
  readonly client: string;
  readonly server: string;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly egressSet: number;
  /** 0: nobody asks for it any more, all passes. */
  readonly ingressSet: number;
  /** Since its last bytes. */
  readonly idleMs: number;
}

/** One that a worker carries: `GET /v1/connections`. */
export interface ProxyConnectionStatus extends CarriedConnection {
  readonly state: 'idle' | 'busy' | 'passing';
  readonly queuedBytes: number;
}

/** Where worker `worker` listens for questions: the first at the node's `proxySocket`. */
export function proxyWorkerSocket(proxySocket: string, worker: number): string {
  return worker === 0 ? proxySocket : proxySocket.replace(/\.sock$/, `-${worker}.sock`);
}
