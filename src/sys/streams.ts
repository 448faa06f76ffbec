/** Stream sockets as a proxy needs them, and pipes to splice through. On top of `net.ts`: failures are negative errnos there, errors with a name here. */
import { type Addr, isIPv4 } from '../std/ip.ts';
import { KernelError, check, errnoName } from './errno.ts';
import { stable } from './memory.ts';
import { lastErrno } from './native.ts';
import * as native from './native.ts';
import { bind, closeSocket, connect, getOption, ipv6Option, level, listen, setLocalPorts, setOption, setTransparent, type SocketAddress, socketOption, tcpSocket } from './net.ts';

/** SOCK_NONBLOCK | SOCK_CLOEXEC. */
const NONBLOCK_CLOEXEC = 0o2004000;
/** From asm-generic/socket.h and linux/tcp.h. */
const keepAlive = 9;
const tcpOption = { noDelay: 1, keepIdle: 4, userTimeout: 18 } as const;

export const errno = { interrupted: 4, again: 11, tooManyFilesAtAll: 23, tooManyFiles: 24, noAddress: 99, inProgress: 115 } as const;

export interface StreamOptions {
  /** May bind to, and answer for, addresses that are not this machine's (CAP_NET_ADMIN). */
  readonly transparent?: boolean;
  /** SO_MARK of all its packets; what is accepted inherits it. */
  readonly mark?: number;
  /** Nobody answered for so long: the connection is over (TCP_USER_TIMEOUT). */
  readonly userTimeoutMs?: number;
}

/** A listening socket. Accepted ones inherit its options, no-delay and keep-alive too. Port 0: the kernel chooses. Throws KernelError. */
export function listenOn(at: SocketAddress, options: StreamOptions & { readonly backlog?: number } = {}): number {
  const fd = streamSocket(at.addr, options);
  return orClose(fd, () => {
    setOption(fd, level.socket, socketOption.reuseAddress, 1, 'listening on a port that was in use');
    if (!isIPv4(at.addr)) setOption(fd, level.ipv6, ipv6Option.v6only, 1, 'listening for IPv6 alone');
    required(bind(fd, at), 'bind', `binding port ${at.port}`);
    required(listen(fd, options.backlog ?? 4096), 'listen', `listening on port ${at.port}`);
    return fd;
  });
}

export interface ConnectOptions extends StreamOptions {
  /** The address that the server sees. */
  readonly from?: Addr;
  /** Its port is one of these, as far as net.ipv4.ip_local_port_range has them. */
  readonly ports?: readonly [first: number, last: number];
}

/** Begins to connect: a descriptor that becomes writable when it has succeeded or failed (`socketError`). Throws KernelError what fails at once. */
export function connectTo(to: SocketAddress, options: ConnectOptions = {}): number {
  const fd = streamSocket(to.addr, options);
  return orClose(fd, () => {
    const { from, ports } = options;
    const result = from && ports ? connectFrom(fd, to, from, ports) : (from && bindTo(fd, from, 0), connect(fd, to));
    if (result !== -errno.inProgress) required(result, 'connect', `connecting to port ${to.port}`);
    return fd;
  });
}

/**
 * The kernel looks through a range of ports one by one, 2.4 microseconds each. Whoever has connections in nearly all of them, of which those
 * that have ended count for a minute, would hold up everybody else with each further one: so it looks through a few of them, somewhere.
 */
const portsAtOnce = 64;
const looks = 8;
const attempts = 16;
let knowsPortRange = true;

/** The result of connect(2). The port is chosen then, by the kernel (6.3), or else here. */
function connectFrom(fd: number, to: SocketAddress, from: Addr, [first, last]: readonly [number, number]): number {
  const count = last - first + 1;
  const groups = Math.ceil(count / portsAtOnce);
  const group = Math.floor(Math.random() * groups);
  let result = -errno.noAddress;
  for (let look = 0; look < Math.min(looks, groups) && result === -errno.noAddress; look++) {
    const lowest = first + ((group + look) % groups) * portsAtOnce;
    try {
      setLocalPorts(fd, lowest, Math.min(last, lowest + portsAtOnce - 1));
    } catch {
      knowsPortRange = false;
      break;
    }
    if (look === 0) bindTo(fd, from, 0);
    result = connect(fd, to);
  }
  if (knowsPortRange) return result;
  for (let attempt = 1; ; attempt++) {
    const port = first + Math.floor(Math.random() * count);
    if (attempt === attempts) bindTo(fd, from, port);
    else if (bind(fd, { addr: from, port }) !== 0) continue;
    return connect(fd, to);
  }
}

function bindTo(fd: number, addr: Addr, port: number): void {
  required(bind(fd, { addr, port }), 'bind', port === 0 ? 'binding the client\'s address' : 'binding the client\'s address and a free port');
}

function streamSocket(address: Addr, options: StreamOptions): number {
  const version = isIPv4(address) ? 4 : 6;
  const fd = tcpSocket(version);
  return orClose(fd, () => {
    if (options.transparent) setTransparent(fd, version);
    if (options.mark !== undefined) setOption(fd, level.socket, socketOption.mark, options.mark, 'marking a socket');
    if (options.userTimeoutMs !== undefined) setOption(fd, level.tcp, tcpOption.userTimeout, options.userTimeoutMs, 'bounding how long nobody may answer');
    setOption(fd, level.tcp, tcpOption.noDelay, 1, 'sending at once');
    setOption(fd, level.socket, keepAlive, 1, 'asking whether a silent peer is still there');
    return fd;
  });
}

/** The name of what went wrong with it, as "ECONNREFUSED"; undefined when nothing did. Asking clears it. */
export function socketError(fd: number): string | undefined {
  const code = getOption(fd, level.socket, socketOption.error);
  return code === 0 ? undefined : errnoName(Math.abs(code));
}

/** After so many seconds without a word the peer is asked whether it is there; at once when it has been silent for longer. */
export function setKeepIdle(fd: number, seconds: number): void {
  setOption(fd, level.tcp, tcpOption.keepIdle, seconds, 'choosing when a silent peer is asked');
}

function required(result: number, syscall: string, doing: string): number {
  if (result < 0) throw new KernelError({ errno: -result, syscall, doing });
  return result;
}

function orClose(fd: number, run: () => number): number {
  try {
    return run();
  } catch (error) {
    closeSocket(fd);
    throw error;
  }
}

// -- pipes, for splice ------------------------------------------------------------------------------------------------

export interface Pipe {
  readonly read: number;
  readonly write: number;
}

const SET_PIPE_SIZE = 1031;
const MOVE_NONBLOCK = 3;
const pair = stable(8);

/** With room for `bytes`, or what the kernel gives. */
export function makePipe(bytes: number): Pipe {
  check(native.pipe2(pair.bytes, NONBLOCK_CLOEXEC), 'pipe2', 'making a pipe');
  const pipe = { read: pair.view.getInt32(0, true), write: pair.view.getInt32(4, true) };
  native.fcntl(pipe.write, SET_PIPE_SIZE, bytes);
  return pipe;
}

/** Bytes moved, 0 at the end of the source, or minus the errno. */
export function spliceSome(from: number, into: number, bytes: number): number {
  const moved = native.splice(from, 0, into, 0, bytes, MOVE_NONBLOCK);
  return moved >= 0 ? moved : -lastErrno();
}

export function closePipe(pipe: Pipe): void {
  native.close(pipe.read);
  native.close(pipe.write);
}
