/** Rules of one spec that the proxy could not carry out together. */
import type { FieldReader } from './fields.ts';
import type { RuleL7 } from './l7-rules.ts';
import type { PortMatch, Rule } from './policy.ts';

/** Two parsers, or two TLS contexts, for one port and the same peers: upstream rejects such a policy when it resolves it. */
export function refuseParserConflicts(reader: FieldReader, rules: readonly Rule[]): void {
  const inspecting = rules.filter(r => r.l7 !== undefined);
  for (const together of Map.groupBy(inspecting, r => `${r.direction} ${JSON.stringify(r.peers)}`).values()) {
    const kinds = [...Map.groupBy(together, ({ l7 }) => `${l7!.protocol} ${JSON.stringify([l7!.tls?.terminating, l7!.tls?.originating])}`).values()];
    for (const [i, kind] of kinds.entries()) {
      for (const earlier of kinds.slice(0, i)) {
        const conflict = l7Conflict(earlier[0]!.l7!, kind[0]!.l7!);
        if (conflict !== undefined) refuseMeeting(reader, earlier, kind, conflict);
      }
    }
  }
}

/** Each rule of the second list that is for a port of one of the first. */
function refuseMeeting(reader: FieldReader, earlier: readonly Rule[], later: readonly Rule[], conflict: string): void {
  for (const rule of later) {
    const other = earlier.find(r => portsMeet(r.ports, rule.ports));
    if (other) reader.fail(`${rule.path}.rules`, `${conflict}: ${other.path} has the same port and peers`, 'give each ports or peers of its own');
  }
}

/** Why two rules cannot hold for one port and peer, or undefined. `tls` beside `http` is read as `http`. */
export function l7Conflict(a: RuleL7, b: RuleL7): string | undefined {
  const parsers = [a.protocol, b.protocol];
  if (a.protocol !== b.protocol && !(parsers.includes('tls') && parsers.includes('http'))) return `cannot merge conflicting L7 parsers (${a.protocol}/${b.protocol})`;
  const side = (['terminating', 'originating'] as const).find(key => a.tls?.[key] && b.tls?.[key] && JSON.stringify(a.tls[key]) !== JSON.stringify(b.tls[key]));
  return side && `cannot merge different ${side}TLS contexts`;
}

export function portsMeet(a: Rule['ports'], b: Rule['ports']): boolean {
  return a === 'any' || b === 'any' || a.some(x => b.some(y => portMeets(x, y)));
}

function portMeets(a: PortMatch, b: PortMatch): boolean {
  if (a.protocol !== b.protocol) return false;
  if ('name' in a || 'name' in b) return 'name' in a && 'name' in b && a.name === b.name;
  return a.start <= b.end && b.start <= a.end;
}
