/** Is a prefix within one of many? Asked under each length that occurs, not of each of them. */
import { prefixFamily } from '../model/identity.ts';
import { formatPrefix, maskPrefix } from '../std/ip.ts';
import type { Prefix } from '../std/ip.ts';

export class PrefixCover {
  readonly #texts: ReadonlySet<string>;
  readonly #lengths = { ipv4: new Set<number>(), ipv6: new Set<number>() };

  constructor(prefixes: readonly Prefix[]) {
    this.#texts = new Set(prefixes.map(formatPrefix));
    for (const prefix of prefixes) this.#lengths[prefixFamily(prefix)].add(prefix.bits);
  }

  covers(prefix: Prefix): boolean {
    for (const bits of this.#lengths[prefixFamily(prefix)]) {
      if (bits <= prefix.bits && this.#texts.has(formatPrefix(maskPrefix({ addr: prefix.addr, bits })))) return true;
    }
    return false;
  }
}
