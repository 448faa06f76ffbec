/**
 * Addresses and prefixes as the datapath sees them: always 16 bytes, IPv4 as IPv4-mapped IPv6 (::ffff:a.b.c.d, RFC 4291
 * §2.5.5.2), so that every map and every step is written once for both families.
 */

/** 16 bytes, network order. */
export type Addr = Uint8Array;

/** A prefix of the 16-byte form: for IPv4, `bits` counts from 96 (10.0.0.0/8 has bits 104). */
export interface Prefix { readonly addr: Addr; readonly bits: number }

export class AddressError extends Error {
  readonly code = 'ERR_ADDRESS';
}

/** Parses an IPv4 or IPv6 address. Throws AddressError with the offending text. */
export function parseAddr(text: string): Addr {
  const bytes = text.includes(':') ? parseIPv6(text) : parseIPv4(text);
  if (!bytes) throw new AddressError(`"${text}" is not an IP address`);
  return bytes;
}

/** True where `parseAddr` would succeed. */
export function isAddr(text: string): boolean {
  return (text.includes(':') ? parseIPv6(text) : parseIPv4(text)) !== undefined;
}

/** True for an IPv4-mapped address. */
export function isIPv4(addr: Addr): boolean {
  for (let i = 0; i < 10; i++) if (addr[i] !== 0) return false;
  return addr[10] === 0xff && addr[11] === 0xff;
}

/** The usual text: dotted quad, or RFC 5952 for IPv6. */
export function formatAddr(addr: Addr): string {
  if (isIPv4(addr)) return `${addr[12]}.${addr[13]}.${addr[14]}.${addr[15]}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push((addr[i]! << 8) | addr[i + 1]!);
  const run = longestZeroRun(groups);
  if (!run) return groups.map(g => g.toString(16)).join(':');
  const head = groups.slice(0, run.start).map(g => g.toString(16)).join(':');
  const tail = groups.slice(run.start + run.length).map(g => g.toString(16)).join(':');
  return `${head}::${tail}`;
}

/** `10.0.0.1:80`, `[fd00::1]:80`. */
export function formatEnd(addr: Addr, port: number): string {
  const text = formatAddr(addr);
  return text.includes(':') ? `[${text}]:${port}` : `${text}:${port}`;
}

/** The 4 bytes of an IPv4-mapped address, or the 16 of an IPv6 one: the form of netlink and sockaddr. */
export function wireBytes(addr: Addr): Uint8Array {
  return isIPv4(addr) ? addr.subarray(12) : addr;
}

/** The inverse of `wireBytes`. */
export function addrFromWire(bytes: Uint8Array): Addr {
  if (bytes.length === 16) return Uint8Array.from(bytes);
  if (bytes.length !== 4) throw new AddressError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  const out = new Uint8Array(16);
  out[10] = out[11] = 0xff;
  out.set(bytes, 12);
  return out;
}

/** Parses `a.b.c.d/len` or `x::y/len`; a bare address is a host prefix. Host bits are cleared. */
export function parsePrefix(text: string): Prefix {
  const slash = text.indexOf('/');
  const addr = parseAddr(slash < 0 ? text : text.slice(0, slash));
  const width = isIPv4(addr) ? 32 : 128;
  const lengthText = slash < 0 ? String(width) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(lengthText) || Number(lengthText) > width) {
    throw new AddressError(`"${text}" is not a prefix: the length must be 0 to ${width}`);
  }
  return maskPrefix({ addr, bits: Number(lengthText) + (128 - width) });
}

/** The text of a prefix, always with its length. */
export function formatPrefix(prefix: Prefix): string {
  const v4 = prefix.bits >= 96 && isIPv4(prefix.addr);
  return `${formatAddr(prefix.addr)}/${v4 ? prefix.bits - 96 : prefix.bits}`;
}

/** Clears the bits below the prefix length. */
export function maskPrefix(prefix: Prefix): Prefix {
  const addr = Uint8Array.from(prefix.addr);
  for (let i = 0; i < 16; i++) {
    const keep = Math.min(8, Math.max(0, prefix.bits - i * 8));
    addr[i] = addr[i]! & (0xff00 >> keep) & 0xff;
  }
  return { addr, bits: prefix.bits };
}

/** True where `inner` lies wholly within `outer` (equal counts). */
export function prefixContains(outer: Prefix, inner: Prefix): boolean {
  if (inner.bits < outer.bits) return false;
  return prefixHas(outer, inner.addr);
}

/** True where the address lies within the prefix. */
export function prefixHas(prefix: Prefix, addr: Addr): boolean {
  const whole = prefix.bits >> 3;
  for (let i = 0; i < whole; i++) if (prefix.addr[i] !== addr[i]) return false;
  const rest = prefix.bits & 7;
  if (rest === 0) return true;
  const mask = (0xff00 >> rest) & 0xff;
  return (prefix.addr[whole]! & mask) === (addr[whole]! & mask);
}

/** The address `offset` after the prefix's first one. */
export function addrAt(prefix: Prefix, offset: number | bigint): Addr {
  return bigintToAddr(addrToBigint(prefix.addr) + BigInt(offset));
}

export function addrToBigint(addr: Addr): bigint {
  let value = 0n;
  for (const byte of addr) value = (value << 8n) | BigInt(byte);
  return value;
}

export function bigintToAddr(value: bigint): Addr {
  const out = new Uint8Array(16);
  for (let i = 15; i >= 0; i--) {
    out[i] = Number(value & 0xffn);
    value >>= 8n;
  }
  return out;
}

/** Digit by digit: lists of ten thousand services have a hundred thousand addresses. */
function parseIPv4(text: string): Addr | undefined {
  const out = new Uint8Array(16);
  out[10] = out[11] = 0xff;
  let at = 0;
  for (let i = 12; i < 16; i++) {
    const start = at;
    let part = 0;
    for (let digit = text.charCodeAt(at) - 48; digit >= 0 && digit <= 9 && at - start < 3; digit = text.charCodeAt(++at) - 48) part = part * 10 + digit;
    // Leading zeros are refused as Go's netip does: some parsers read them as octal.
    if (at === start || part > 255 || (at - start > 1 && text.charCodeAt(start) === 48)) return undefined;
    if (i < 15 && text.charCodeAt(at++) !== 46) return undefined;
    out[i] = part;
  }
  return at === text.length ? out : undefined;
}

function parseIPv6(text: string): Addr | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0]!);
  const tail = halves.length === 2 ? parseGroups(halves[1]!) : [];
  if (!head || !tail) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(Math.max(0, missing)).fill(0), ...tail]);
}

/** Bytes of colon-separated groups; a dotted quad may be the last. */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const quad = parseIPv4(group);
      if (!quad) return undefined;
      bytes.push(...quad.subarray(12));
      continue;
    }
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    const value = Number.parseInt(group, 16);
    bytes.push(value >> 8, value & 0xff);
  }
  return bytes;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  for (let i = 0; i < groups.length; i++) {
    if (groups[i] !== 0) continue;
    let end = i;
    while (end < groups.length && groups[end] === 0) end++;
    if (end - i >= 2 && (!best || end - i > best.length)) best = { start: i, length: end - i };
    i = end;
  }
  return best;
}
