import { protocolNames } from '../../lb/rows.ts';
import { formatAddr, isIPv4, type Addr } from '../../std/ip.ts';

/** `10.0.1.5:80`, `[fd00::1]:80`. */
export function hostPort(addr: Addr, port: number): string {
  return isIPv4(addr) ? `${formatAddr(addr)}:${port}` : `[${formatAddr(addr)}]:${port}`;
}

/** IANA's name of a protocol, or its number. */
export function protocolText(protocol: number): string {
  return protocolNames[protocol] ?? ({ 1: 'ICMP', 58: 'ICMPv6' } as Readonly<Record<number, string>>)[protocol] ?? String(protocol);
}

export function macText(mac: Uint8Array): string {
  return Array.from(mac, byte => byte.toString(16).padStart(2, '0')).join(':').toUpperCase();
}

/** The names of the bits that are set, in order of the bits. */
export function bitNames(bits: number, names: Readonly<Record<string, number>>): string[] {
  return Object.entries(names).filter(([, bit]) => (bits & bit) !== 0).map(([name]) => name);
}

/** CLOCK_MONOTONIC, as programs stamp their entries. */
export function monotonicNs(): bigint {
  return process.hrtime.bigint();
}
