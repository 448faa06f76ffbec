import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { RpcClient } from '../../rpc/client.ts';
import { RpcError, RpcStatus, type RpcTarget } from '../../rpc/types.ts';
import { parseDuration } from '../../flows/query.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { collect } from '../options.ts';

/** Flags with which every hubble command is told of a server; upstream's. */
export interface ServerFlags {
  readonly server?: string;
  readonly timeout?: string;
  readonly requestTimeout?: string;
  readonly tls?: boolean;
  readonly tlsAllowInsecure?: boolean;
  readonly tlsCaCertFiles?: readonly string[];
  readonly tlsClientCertFile?: string;
  readonly tlsClientKeyFile?: string;
  readonly tlsServerName?: string;
  readonly basicAuthUsername?: string;
  readonly basicAuthPassword?: string;
  readonly token?: string;
  readonly portForward?: boolean;
  readonly portForwardPort?: string;
  readonly kubeContext?: string;
  readonly kubeNamespace?: string;
  readonly kubeconfig?: string;
}

export function addServerFlags(command: Command): Command {
  return command
    .option('--server <address>', 'HOST:PORT, tls://HOST:PORT or unix:///PATH of a Hubble server (default: this cluster\'s relay)')
    .option('--timeout <duration>', 'how long to wait for a connection (default 5s)')
    .option('--request-timeout <duration>', 'how long to wait for one answer (default 12s)')
    .option('--tls', 'speak TLS')
    .option('--tls-allow-insecure', 'believe any certificate')
    .option('--tls-ca-cert-files <files>', 'certificate authorities, PEM (repeat, or separate by commas)', collect, [])
    .option('--tls-client-cert-file <file>', 'own certificate, PEM')
    .option('--tls-client-key-file <file>', 'and its key')
    .option('--tls-server-name <name>', 'the name that the server\'s certificate must bear')
    .option('--basic-auth-username <name>', 'for a server behind basic authentication')
    .option('--basic-auth-password <password>', 'likewise')
    .option('--token <token>', 'of cirri hubble token create, where the server asks for one (or HUBBLE_TOKEN)')
    .option('-P, --port-forward', 'taken for upstream\'s sake: on this machine the relay is reached directly')
    .option('--port-forward-port <port>', 'likewise')
    .option('--kube-context <name>', 'likewise')
    .option('--kube-namespace <namespace>', 'likewise')
    .option('--kubeconfig <file>', 'likewise');
}

/** A command's flags, with what configuration and environment say of those that were not given. */
export type ReadFlags = <T extends object>(command: Command) => T;

export const plainFlags: ReadFlags = <T extends object>(command: Command): T => command.opts<T>();

/** Where a command's answers come from. */
export interface HubbleServer {
  /** As the user knows it: `localhost:4245`. */
  readonly address: string;
  readonly target: RpcTarget;
  readonly metadata: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** What a configuration file or the environment says of a flag (`tls-server-name`); undefined: nothing. */
export type Configured = (flag: string) => unknown;

/** HUBBLE_SERVER, HUBBLE_TLS_SERVER_NAME, … */
export const environment: Configured = flag => {
  const text = process.env[`HUBBLE_${flag.toUpperCase().replaceAll('-', '_')}`];
  return text === '' ? undefined : text;
};

/** The server that is named by flags, environment or file; undefined when none is: this cluster's relay. Throws CirriError. */
export function namedServer(flags: ServerFlags, configured: Configured = environment): HubbleServer | undefined {
  const text = (flag: string, given: string | undefined): string | undefined => given ?? (configured(flag) === undefined || configured(flag) === '' ? undefined : String(configured(flag)));
  const server = text('server', flags.server);
  if (server === undefined) return undefined;
  const address = parseAddress(server);
  if ('socketPath' in address) return { address: server, target: address, metadata: {}, ...timesOf(flags, configured) };
  const isOn = (flag: string, given: boolean | undefined) => given ?? String(configured(flag) ?? 'false') === 'true';
  const ca = flags.tlsCaCertFiles?.length ? flags.tlsCaCertFiles : listOf(configured('tls-ca-cert-files'));
  const cert = text('tls-client-cert-file', flags.tlsClientCertFile);
  const key = text('tls-client-key-file', flags.tlsClientKeyFile);
  if ((cert === undefined) !== (key === undefined)) throw new CirriError('ERR_FLAG', 'a client certificate needs both --tls-client-cert-file and --tls-client-key-file');
  const tls = address.tls || isOn('tls', flags.tls);
  const serverName = text('tls-server-name', flags.tlsServerName);
  return {
    address: server, ...timesOf(flags, configured), metadata: credentials(text, flags),
    target: {
      host: address.host, port: address.port,
      ...(tls && {
        tls: {
          ...(ca.length > 0 && { ca: ca.flatMap(list => list.split(',')).map(file => readPem(file)).join('\n') }),
          ...(cert !== undefined && { cert: readPem(cert), key: readPem(key!) }),
          ...(serverName !== undefined && { serverName }),
          ...(isOn('tls-allow-insecure', flags.tlsAllowInsecure) && { insecure: true }),
        },
      }),
    },
  };
}

/** This cluster's relay, by its socket. */
export function ownRelay({ paths }: Pick<Context, 'paths'>, flags: ServerFlags = {}, configured: Configured = environment): HubbleServer {
  return { address: `unix://${paths.relaySocket}`, target: { socketPath: paths.relaySocket }, metadata: {}, ...timesOf(flags, configured) };
}

/** The named server, or this cluster's relay. Says on stderr that a port need not be forwarded when that was asked for. */
export function serverOf(flags: ServerFlags, configured: Configured = environment): HubbleServer {
  const named = namedServer(flags, configured);
  if (named) return named;
  if (flags.portForward) process.stderr.write('cirri: --port-forward is not needed: the relay of this machine is reached by its socket\n');
  const context = openContext();
  context.client.close();
  return ownRelay(context, flags, configured);
}

/** One call of a server that is to answer now. Throws a CirriError that names the server. */
export async function callServer<T>(server: HubbleServer, section: (client: RpcClient, settings: { readonly timeoutMs: number; readonly metadata: Readonly<Record<string, string>> }) => Promise<T>): Promise<T> {
  const client = new RpcClient(server.target, { userAgent: 'cirri', connectTimeoutMs: server.timeoutMs });
  try {
    return await section(client, { timeoutMs: server.requestTimeoutMs, metadata: server.metadata });
  } catch (error) {
    throw serverError(server, error);
  } finally {
    client.close();
  }
}

export function serverError({ address, target }: HubbleServer, error: unknown): unknown {
  if (!(error instanceof RpcError)) return error;
  const own = 'socketPath' in target && target.socketPath.endsWith('/run/relay.sock');
  const mend = error.code === RpcStatus.unavailable ? (own ? 'cirri status tells how the relay is' : 'check the address, and whether the server speaks TLS (--tls)') : error.code === RpcStatus.unauthenticated ? '--token TOKEN, made by cirri hubble token create' : undefined;
  return new CirriError('ERR_HUBBLE_SERVER', `${address}: ${error.message}`, { cause: undefined, ...(mend !== undefined && { mend }) });
}

function timesOf(flags: ServerFlags, configured: Configured): { readonly timeoutMs: number; readonly requestTimeoutMs: number } {
  const time = (flag: string, given: string | undefined, byDefault: string) => {
    const text = given ?? String(configured(flag) ?? byDefault);
    const ms = parseDuration(text);
    if (ms === undefined || ms <= 0) throw new CirriError('ERR_FLAG', `--${flag} ${text}: not a duration`, { mend: 'write 5s, 500ms or 1m' });
    return ms;
  };
  return { timeoutMs: time('timeout', flags.timeout, '5s'), requestTimeoutMs: time('request-timeout', flags.requestTimeout, '12s') };
}

function credentials(text: (flag: string, given: string | undefined) => string | undefined, flags: ServerFlags): Record<string, string> {
  const token = text('token', flags.token);
  const user = text('basic-auth-username', flags.basicAuthUsername);
  const password = text('basic-auth-password', flags.basicAuthPassword);
  if (token !== undefined && user !== undefined) throw new CirriError('ERR_FLAG', '--token and --basic-auth-username exclude each other');
  if (token !== undefined) return { authorization: `Bearer ${token}` };
  return user === undefined ? {} : { authorization: `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}` };
}

function listOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : value === undefined || value === '' ? [] : [String(value)];
}

function readPem(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new CirriError('ERR_FLAG', `cannot read ${file}`, { cause });
  }
}

/** `unix:///path`, `tls://host:port`, `host:port`, `[::1]:port`; without a port 4245. Throws ERR_FLAG. */
export function parseAddress(text: string): { readonly socketPath: string } | { readonly host: string; readonly port: number; readonly tls: boolean } {
  if (text.startsWith('unix:')) return { socketPath: text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '') };
  const tls = text.startsWith('tls://');
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/]+))(?::(\d{1,5}))?$/.exec(text.replace(/^(tls|grpc|tcp|dns):\/\/\/?/, ''));
  const port = Number(match?.[3] ?? 4245);
  if (!match || port < 1 || port > 65_535) throw new CirriError('ERR_FLAG', `--server ${text}: not an address`, { mend: 'write HOST:PORT, tls://HOST:PORT or unix:///PATH' });
  return { host: match[1] ?? match[2]!, port, tls };
}
