/** The world as a proposal writes it: names by which it was looked up, else few prefixes, else the world. */
import { isIPv4, formatPrefix, maskPrefix, parseAddr } from '../std/ip.ts';

/** So many names below one are taken as a pattern: tomorrow there will be others. */
const namesOfPattern = 5;
/** So many prefixes are a list that a person can read. */
const readablePrefixes = 8;

/** Entries of `toFQDNs`, sorted. */
export function writtenNames(names: readonly string[]): readonly unknown[] {
  const plain = [...new Set(names.map(name => name.toLowerCase().replace(/\.$/, '')))].sort();
  const below = new Map<string, string[]>();
  for (const name of plain) {
    const parent = name.slice(name.indexOf('.') + 1);
    below.set(parent, [...(below.get(parent) ?? []), name]);
  }
  // `*.example.com` is somebody's; `*.com` is everybody's.
  const patterns = [...below].filter(([parent, list]) => list.length >= namesOfPattern && parent.split('.').length >= 2).map(([parent]) => parent);
  const isCovered = (name: string) => patterns.includes(name.slice(name.indexOf('.') + 1));
  return [...patterns.sort().map(parent => ({ matchPattern: `*.${parent}` })), ...plain.filter(name => !isCovered(name)).map(matchName => ({ matchName }))];
}

/** Single addresses, or the /24s and /64s that hold several; `world` when that is no list any more. */
export function writtenPrefixes(addresses: readonly string[]): readonly string[] | 'world' {
  const single = [...new Set(addresses)].map(parseAddr);
  const near = new Map<string, Uint8Array[]>();
  for (const addr of single) {
    const around = formatPrefix(maskPrefix({ addr, bits: isIPv4(addr) ? 96 + 24 : 64 }));
    near.set(around, [...(near.get(around) ?? []), addr]);
  }
  const prefixes = [...near].flatMap(([around, list]) => (list.length >= 3 ? [around] : list.map(addr => formatPrefix({ addr, bits: 128 }))));
  return prefixes.length > readablePrefixes ? 'world' : prefixes.sort();
}
