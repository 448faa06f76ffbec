/**
 * All ports at once: what one party may reach at another, exactly. The rows of the two classes that meet cut the ports of
 * a protocol into ranges within which nothing changes; each is asked once.
 */
import { memberAt } from './connection.ts';
import { identityOf, nodeOf } from './ends.ts';
import type { End } from './ends.ts';
import { maxPort, protocolName } from './policy.ts';
import type { Direction } from './policy.ts';
import type { World } from './world.ts';

export interface PortSpan {
  readonly protocol: number;
  readonly start: number;
  readonly end: number;
  /** Passes only because a denial is reported and not enforced. */
  readonly audit?: true;
}

type Ruling = 'allow' | 'audit' | 'deny';

/** Sorted by protocol and port, not touching each other. */
export type Access = readonly PortSpan[];

/** The protocols that are looked at; of the others, a rule without ports says the same as of these. */
export const accessProtocols: readonly number[] = [6, 17, 132, 1, 58];

export const noAccess: Access = [];
export const fullAccess: Access = accessProtocols.map(protocol => ({ protocol, start: 0, end: lastOf(protocol) }));

/** Remembers what was computed: pairs of classes are far fewer than pairs of pods. */
export class AccessTable {
  readonly #world: World;
  readonly #known = new Map<string, Access>();

  constructor(world: World) {
    this.#world = world;
  }

  between(from: End, to: End): Access {
    const out = this.#side(from, 'egress', to);
    const into = this.#side(to, 'ingress', from);
    const key = `${out?.key ?? ''}|${into?.key ?? ''}`;
    const known = this.#known.get(key);
    if (known) return known;
    const access = spansWhere([...(out?.cuts() ?? []), ...(into?.cuts() ?? [])], (protocol, port) => weaker(out?.rules(protocol, port), into?.rules(protocol, port)));
    this.#known.set(key, access);
    return access;
  }

  /** What one end alone would let pass. */
  atOneEnd(subject: End, direction: Direction, peer: End): Access {
    const side = this.#side(subject, direction, peer);
    if (!side) return fullAccess;
    const known = this.#known.get(side.key);
    if (known) return known;
    const access = spansWhere(side.cuts(), side.rules);
    this.#known.set(side.key, access);
    return access;
  }

  #side(end: End, direction: Direction, peer: End) {
    const member = memberAt(this.#world, end, direction, peer);
    if (!member) return undefined;
    const identity = identityOf(this.#world, peer, direction, nodeOf(end, peer));
    const { set, rows } = this.#world.indexed(member.subject, direction);
    const number = set.classes.get(identity) ?? 0;
    return {
      key: `${set.key}/${number}/${member.audit === undefined ? '' : 'audit'}`,
      cuts: () => (rows.get(number) ?? []).map(row => ({ protocol: row.protocol, start: row.port, end: row.port | (0xffff >>> row.portBits) })),
      rules: (protocol: number, port: number): Ruling => {
        const { verdict } = this.#world.judge(member, direction, identity, protocol, port);
        return verdict === 'redirect' ? 'allow' : verdict;
      },
    };
  }
}

/** What two ends say together; an end without policies says nothing. */
function weaker(a: Ruling = 'allow', b: Ruling = 'allow'): Ruling {
  return a === 'deny' || b === 'deny' ? 'deny' : a === 'audit' || b === 'audit' ? 'audit' : 'allow';
}

function spansWhere(cuts: readonly { readonly protocol: number | null; readonly start: number; readonly end: number }[], rules: (protocol: number, port: number) => Ruling): Access {
  return accessProtocols.flatMap(protocol => {
    const last = lastOf(protocol);
    const starts = new Set([0]);
    for (const cut of cuts) {
      if (cut.protocol !== protocol) continue;
      if (cut.start <= last) starts.add(cut.start);
      if (cut.end < last) starts.add(cut.end + 1);
    }
    const sorted = [...starts].sort((a, b) => a - b);
    return merge(sorted.flatMap((start, i) => {
      const ruling = rules(protocol, start);
      return ruling === 'deny' ? [] : [{ protocol, start, end: (sorted[i + 1] ?? last + 1) - 1, ...(ruling === 'audit' && { audit: true as const }) }];
    }));
  });
}

function merge(spans: readonly PortSpan[]): Access {
  const merged: PortSpan[] = [];
  for (const span of spans) {
    const before = merged.at(-1);
    if (before && before.protocol === span.protocol && before.audit === span.audit && before.end + 1 === span.start) merged[merged.length - 1] = { ...before, end: span.end };
    else merged.push(span);
  }
  return merged;
}

/** What `a` allows and `b` does not; a mark of audit is no difference. */
export function subtract(a: Access, b: Access): Access {
  return a.flatMap(span => {
    let rest: PortSpan[] = [span];
    for (const hole of b.filter(h => h.protocol === span.protocol)) {
      rest = rest.flatMap(part => {
        if (hole.end < part.start || hole.start > part.end) return [part];
        return [
          ...(part.start < hole.start ? [{ ...part, end: hole.start - 1 }] : []),
          ...(part.end > hole.end ? [{ ...part, start: hole.end + 1 }] : []),
        ];
      });
    }
    return rest;
  });
}

export function sameAccess(a: Access, b: Access): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** What `is` only audits and `was` allowed outright. */
export function newlyAudited(is: Access, was: Access): Access {
  const [audited, outright] = [is.filter(s => s.audit), was.filter(s => !s.audit)];
  return subtract(audited, subtract(audited, outright));
}

/** `all`, `-`, `80/TCP, 8000-8080/UDP, all ICMP`; what only audit lets pass is marked. */
export function accessText(access: Access): string {
  if (access.length === 0) return '-';
  if (sameAccess(access, fullAccess)) return 'all';
  if (access.every(s => s.audit) && sameAccess(access.map(({ audit: _, ...span }) => span), fullAccess)) return 'all (audit)';
  return accessWords(access).join(', ');
}

export function accessWords(access: Access): readonly string[] {
  return access.map(({ protocol, start, end, audit }) => {
    const name = protocolName(protocol);
    const range = start === end ? `${start}` : `${start}-${end}`;
    const words = start === 0 && end === lastOf(protocol) ? `all ${name}` : protocol === 1 || protocol === 58 ? `${name} type ${range}` : `${range}/${name}`;
    return audit ? `${words} (audit)` : words;
  });
}

function lastOf(protocol: number): number {
  return protocol === 1 || protocol === 58 ? 255 : maxPort;
}
