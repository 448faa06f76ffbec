/** A gRPC method as a server offers it. Messages are encoded protobuf; who decodes them is the method's business. */
export interface Method {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly kind: 'unary' | 'server-stream' | 'bidi';
  /** Writes its answers and returns; throws RpcError for any other end. */
  handle(call: Call): Promise<void>;
}

export interface Call {
  /** Header names in lower case. */
  readonly metadata: ReadonlyMap<string, string>;
  /** The common name of the client's certificate, when it showed one. */
  readonly peerName: string | undefined;
  /** Aborted when the client leaves, its deadline passes or the server stops. */
  readonly signal: AbortSignal;
  /** The next message of the client, undefined at its end. */
  read(): Promise<Uint8Array | undefined>;
  /** Queues messages for one write. Resolves when there is room for more: whoever does not wait must bound what it queues. */
  write(...messages: readonly Uint8Array[]): Promise<void>;
  /** The same for messages that are framed already (MessageBatch): the bytes are the server's from then on. */
  writeFramed(messages: Uint8Array): Promise<void>;
  /** Bytes queued and not yet taken by the client. */
  readonly pendingBytes: number;
}

/** gRPC's status codes. */
export const RpcStatus = {
  ok: 0, cancelled: 1, unknown: 2, invalidArgument: 3, deadlineExceeded: 4, notFound: 5, permissionDenied: 7, resourceExhausted: 8,
  failedPrecondition: 9, unimplemented: 12, internal: 13, unavailable: 14, unauthenticated: 16,
} as const;

export class RpcError extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
  }
}

/** Where a server listens or a client connects. */
export type RpcTarget =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number; readonly tls?: RpcTls };

export interface RpcTls {
  /** PEM. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** Client: the name that the server's certificate must bear. */
  readonly serverName?: string;
  /** Server: clients without a certificate of this authority are turned away. */
  readonly requireClient?: boolean;
  /** Client: takes any certificate. */
  readonly insecure?: boolean;
}
