/**
 * TCP sockets by their numbers, for loops of one's own: non-blocking, and a call that fails returns the errno as a negative number,
 * because EAGAIN is not an error here. Addresses are the 16 bytes of `std/ip.ts` and a port.
 */
import { type Addr, addrFromWire, isIPv4, wireBytes } from '../std/ip.ts';
import { check } from './errno.ts';
import * as native from './native.ts';

export interface SocketAddress {
  readonly addr: Addr;
  readonly port: number;
}

/** Of <sys/socket.h>, <netinet/in.h>, <netinet/tcp.h>, <linux/in.h>, <linux/in6.h>. */
export const level = { socket: 1, ip: 0, tcp: 6, ipv6: 41 } as const;
export const socketOption = { reuseAddress: 2, error: 4, linger: 13, reusePort: 15, mark: 36 } as const;
export const ipOption = { transparent: 19, bindAddressNoPort: 24, localPortRange: 51 } as const;
export const ipv6Option = { v6only: 26, transparent: 75 } as const;

const FAMILY = { 4: 2, 6: 10 } as const;
const STREAM = 1, NON_BLOCKING = 0o4000, CLOSE_ON_EXEC = 0o2000000;
const LONGEST = 28;

const negative = (result: number): number => (result < 0 ? -native.lastErrno() : result);

/** A new TCP socket, non-blocking and close-on-exec. Throws KernelError. */
export function tcpSocket(family: 4 | 6): number {
  return check(native.socket(FAMILY[family], STREAM | NON_BLOCKING | CLOSE_ON_EXEC, 0), 'socket', `making a TCP socket for IPv${family}`);
}

/** Sets an option that is an int. Throws KernelError; `doing` says what it was for. */
export function setOption(fd: number, at: number, option: number, value: number, doing: string): void {
  scratch.setUint32(0, value, true);
  check(native.setsockopt(fd, at, option, scratchBytes, 4), 'setsockopt', doing);
}

/** The value of an option that is an int, or a negative errno. */
export function getOption(fd: number, at: number, option: number): number {
  lengthView.setUint32(0, 4, true);
  return native.getsockopt(fd, at, option, scratchBytes, lengthBytes) < 0 ? -native.lastErrno() : scratch.getInt32(0, true);
}

/** May bind to, and be connected under, addresses that are not the node's (CAP_NET_ADMIN). */
export function setTransparent(fd: number, family: 4 | 6): void {
  if (family === 4) setOption(fd, level.ip, ipOption.transparent, 1, 'making a socket transparent');
  else setOption(fd, level.ipv6, ipv6Option.transparent, 1, 'making a socket transparent');
}

/**
 * Ports that the socket takes by itself, for both families (Linux 6.3), within net.ipv4.ip_local_port_range: a bound outside of that is
 * ignored. They are chosen when it connects, so that one port serves many destinations.
 */
export function setLocalPorts(fd: number, first: number, last: number): void {
  setOption(fd, level.ip, ipOption.bindAddressNoPort, 1, 'choosing ports when connecting');
  setOption(fd, level.ip, ipOption.localPortRange, (last << 16 | first) >>> 0, 'choosing a range of local ports');
}

export function bind(fd: number, address: SocketAddress): number {
  return negative(native.bind(fd, scratchBytes, writeAddress(address)));
}

export const listen = (fd: number, backlog: number): number => negative(native.listen(fd, backlog));

/** The new socket, non-blocking and close-on-exec, or a negative errno: -11 (EAGAIN) when nobody waits. Until the next call `acceptedFrom` says whose it is. */
export function accept(fd: number): number {
  lengthView.setUint32(0, LONGEST, true);
  return negative(native.accept4(fd, scratchAddress, lengthAddress, NON_BLOCKING | CLOSE_ON_EXEC));
}

/** Of the socket that `accept` has just returned: its peer. */
export const acceptedFrom = (): SocketAddress => readAddress();

/** Begins to connect: -115 (EINPROGRESS), and later `getOption(fd, level.socket, socketOption.error)` says how it went. */
export function connect(fd: number, address: SocketAddress): number {
  return negative(native.connect(fd, scratchBytes, writeAddress(address)));
}

/** Of an accepted socket behind a redirect: whom its client asked for. */
export function ownAddress(fd: number): SocketAddress | undefined {
  lengthView.setUint32(0, LONGEST, true);
  return native.getsockname(fd, scratchBytes, lengthBytes) < 0 ? undefined : readAddress();
}

export function peerAddress(fd: number): SocketAddress | undefined {
  lengthView.setUint32(0, LONGEST, true);
  return native.getpeername(fd, scratchBytes, lengthBytes) < 0 ? undefined : readAddress();
}

/** No more will be written (FIN). */
export const shutdownWrite = (fd: number): number => negative(native.shutdown(fd, 1));

export const closeSocket = (fd: number): number => negative(native.close(fd));

/** Closing then sends a reset at once instead of what is still to be written. */
export function closeByReset(fd: number): number {
  scratch.setUint32(0, 1, true);
  scratch.setUint32(4, 0, true);
  native.setsockopt(fd, level.socket, socketOption.linger, scratchBytes, 8);
  return closeSocket(fd);
}

const scratchBytes = Buffer.allocUnsafeSlow(LONGEST);
const scratch = new DataView(scratchBytes.buffer, scratchBytes.byteOffset, LONGEST);
const lengthBytes = Buffer.allocUnsafeSlow(4);
const lengthView = new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 4);
const [scratchAddress, lengthAddress] = [native.addressOf(scratchBytes), native.addressOf(lengthBytes)];

/** struct sockaddr_in or sockaddr_in6 into the scratch; its length. */
function writeAddress(address: SocketAddress): number {
  const v4 = isIPv4(address.addr);
  scratchBytes.fill(0);
  scratch.setUint16(0, v4 ? FAMILY[4] : FAMILY[6], true);
  scratch.setUint16(2, address.port);
  scratchBytes.set(wireBytes(address.addr), v4 ? 4 : 8);
  return v4 ? 16 : LONGEST;
}

function readAddress(): SocketAddress {
  const v4 = scratch.getUint16(0, true) === FAMILY[4];
  return { addr: addrFromWire(v4 ? scratchBytes.subarray(4, 8) : scratchBytes.subarray(8, 24)), port: scratch.getUint16(2) };
}
