/** Rules of one spec that the proxy could not carry out together. */
import type { FieldReader } from './fields.ts';
import type { RuleL7 } from './l7-rules.ts';
import type { PortMatch, Rule } from './policy.ts';

/** Two parsers, or two TLS contexts, for one port and the same peers: upstream rejects such a policy when it resolves it. */
export function refuseParserConflicts(reader: FieldReader, rules: readonly Rule[]): void {
  const inspecting = rules.filter(r => r.l7 !== undefined);
  for (const [i, rule] of inspecting.entries()) {
    for (const other of inspecting.slice(0, i)) {
      const conflict = rule.direction === other.direction ? l7Conflict(other.l7!, rule.l7!) : undefined;
      if (conflict === undefined || !samePeers(rule, other) || !portsMeet(rule.ports, other.ports)) continue;
      reader.fail(`${rule.path}.rules`, `${conflict}: ${other.path} has the same port and peers`, 'give each ports or peers of its own');
      break;
    }
  }
}

/** Why two rules cannot hold for one port and peer, or undefined. `tls` beside `http` is read as `http`. */
export function l7Conflict(a: RuleL7, b: RuleL7): string | undefined {
  const parsers = [a.protocol, b.protocol];
  if (a.protocol !== b.protocol && !(parsers.includes('tls') && parsers.includes('http'))) return `cannot merge conflicting L7 parsers (${a.protocol}/${b.protocol})`;
  const side = (['terminating', 'originating'] as const).find(key => a.tls?.[key] && b.tls?.[key] && JSON.stringify(a.tls[key]) !== JSON.stringify(b.tls[key]));
  return side && `cannot merge different ${side}TLS contexts`;
}

function samePeers(a: Rule, b: Rule): boolean {
  return JSON.stringify(a.peers) === JSON.stringify(b.peers);
}

export function portsMeet(a: Rule['ports'], b: Rule['ports']): boolean {
  return a === 'any' || b === 'any' || a.some(x => b.some(y => portMeets(x, y)));
}

function portMeets(a: PortMatch, b: PortMatch): boolean {
  if (a.protocol !== b.protocol) return false;
  if ('name' in a || 'name' in b) return 'name' in a && 'name' in b && a.name === b.name;
  return a.start <= b.end && b.start <= a.end;
}
