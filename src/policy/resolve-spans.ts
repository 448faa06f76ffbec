/** Ports of a rule as numbers, as far as its subject decides them. */
import type { Subject } from './compile.ts';
import type { Span } from './flatten.ts';
import { resolvePorts } from './matchers.ts';
import type { Direction, PortMatch, Rule } from './policy.ts';

export interface ResolvedSpans {
  readonly spans: 'any' | readonly Span[];
  readonly names: readonly Extract<PortMatch, { name: string }>[];
}

/** Numbers as they are; names from the subject at ingress, left for the peer at egress. */
export function resolveSpans(rule: Rule, direction: Direction, subject: Subject): ResolvedSpans {
  if (rule.ports === 'any') return { spans: 'any', names: [] };
  const spans: Span[] = [];
  const names: Extract<PortMatch, { name: string }>[] = [];
  for (const port of rule.ports) {
    if (!('name' in port)) spans.push(port);
    else if (direction === 'egress') names.push(port);
    else for (const number of resolvePorts([subject.namedPorts], port.name, port.protocol)) spans.push({ protocol: port.protocol, start: number, end: number });
  }
  return { spans, names };
}
