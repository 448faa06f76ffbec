/** Rules of one spec that the proxy could not carry out together. */
import type { FieldReader } from './fields.ts';
import type { PortMatch, Rule } from './policy.ts';

/** Two parsers for one port and the same peers: upstream rejects such a policy when it resolves it. */
export function refuseParserConflicts(reader: FieldReader, rules: readonly Rule[]): void {
  const parsed = rules.filter(r => r.parser !== undefined);
  for (const [i, rule] of parsed.entries()) {
    const other = parsed.slice(0, i).find(r => r.direction === rule.direction && r.parser !== rule.parser && samePeers(r, rule) && portsMeet(r.ports, rule.ports));
    if (other) reader.fail(`${rule.path}.rules`, `cannot merge conflicting L7 parsers (${other.parser}/${rule.parser}): ${other.path} has the same port and peers`, 'give each parser ports or peers of its own');
  }
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
