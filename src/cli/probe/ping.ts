import { parseAddr, wireBytes, addrFromWire, formatAddr } from '../../std/ip.ts';
import { addressOf, close, lastErrno, recv, send, socket, syscall } from '../../sys/native.ts';
import type { Hooks } from './agent.ts';
import type { ProbeOrder } from './protocol.ts';

const AF = { 4: 2, 6: 10 } as const;
const SOCK_RAW_NONBLOCK = 3 | 0o4000 | 0o2000000;
const IPPROTO = { 4: 1, 6: 58 } as const;
const ECHO = { 4: { request: 8, reply: 0 }, 6: { request: 128, reply: 129 } } as const;
const arm = process.arch === 'arm64';
const syscalls = { connect: arm ? 203 : 42, getsockname: arm ? 204 : 51 };
const lookEveryMs = 1;

let nextId = (process.pid * 61) & 0xffff;

/** One echo request with an identifier of its own; the kernel's own ping sockets need a sysctl that pods rarely have. */
export function tryPing(attempt: { readonly order: ProbeOrder; readonly address: string; readonly family: 4 | 6 }, hooks: Hooks): void {
  const { family, address } = attempt;
  const fd = socket(AF[family], SOCK_RAW_NONBLOCK, IPPROTO[family]);
  if (fd < 0) return hooks.done({ outcome: 'unreachable', error: `raw socket: errno ${lastErrno()}` });
  let timer: NodeJS.Timeout | undefined;
  hooks.onCancel(() => {
    clearInterval(timer);
    close(fd);
  });
  const target = socketAddress(family, address);
  if (syscall(syscalls.connect, fd, addressOf(target), target.length, 0) < 0) return hooks.done({ outcome: 'unreachable', error: `connect: errno ${lastErrno()}` });
  const id = (nextId = (nextId + 1) & 0xffff) || 1;
  hooks.source({ ip: ownAddress(fd, family), port: id });
  const packet = echoRequest(family, id);
  if (send(fd, packet, packet.length, 0) < 0) return hooks.done({ outcome: 'unreachable', error: `send: errno ${lastErrno()}` });
  const buffer = new Uint8Array(2048);
  timer = setInterval(() => {
    for (;;) {
      const length = recv(fd, buffer, buffer.length, 0);
      if (length < 0) return;
      const head = family === 4 ? (buffer[0]! & 15) * 4 : 0;
      if (buffer[head] === ECHO[family].reply && ((buffer[head + 4]! << 8) | buffer[head + 5]!) === id) {
        return hooks.done({ outcome: 'allowed', peer: { ip: address, port: 0 } });
      }
    }
  }, lookEveryMs);
}

function echoRequest(family: 4 | 6, id: number): Uint8Array {
  const packet = new Uint8Array(24);
  packet.set([ECHO[family].request, 0, 0, 0, id >> 8, id & 255, 0, 1]);
  packet.set(new TextEncoder().encode('cirri probe'), 8);
  // The kernel fills in ICMPv6's checksum: it covers addresses that only it knows.
  if (family === 4) {
    let sum = 0;
    for (let i = 0; i < packet.length; i += 2) sum += (packet[i]! << 8) | packet[i + 1]!;
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    packet[2] = (~sum >> 8) & 255;
    packet[3] = ~sum & 255;
  }
  return packet;
}

/** struct sockaddr_in or sockaddr_in6 with port 0, at an address that stays. */
function socketAddress(family: 4 | 6, address: string): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(family === 4 ? 16 : 28).fill(0);
  bytes.writeUInt16LE(AF[family], 0);
  bytes.set(wireBytes(parseAddr(address)), family === 4 ? 4 : 8);
  return bytes;
}

function ownAddress(fd: number, family: 4 | 6): string {
  const bytes = Buffer.allocUnsafeSlow(28).fill(0);
  const length = Buffer.allocUnsafeSlow(4);
  length.writeUInt32LE(28);
  if (syscall(syscalls.getsockname, fd, addressOf(bytes), addressOf(length), 0) < 0) return '';
  return formatAddr(addrFromWire(family === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24)));
}
