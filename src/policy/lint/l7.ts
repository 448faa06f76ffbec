/** Rules of several policies that the proxy could not carry out together. */
import { l7Conflict, portsMeet } from '../parse-conflicts.ts';
import type { Rule } from '../policy.ts';
import type { World } from '../world.ts';
import type { Checked } from './finding.ts';
import { covers, coversSelector, where } from './shadows.ts';
import type { Placed } from './shadows.ts';

/** Two parsers for one port and peer; said at the later policy. Within one policy parsing refuses it. */
export function checkParsers({ world, policy, report }: Checked): void {
  const all = world.policies.filter(p => p.mode !== 'shadow').flatMap(p => p.specs.flatMap(spec => spec.rules.filter(r => r.l7 !== undefined).map((rule): Placed => ({ policy: p, spec, rule }))));
  for (const own of all.filter(p => p.policy === policy)) {
    const other = all.find(p => p.policy !== policy && p.rule.address < own.rule.address && p.rule.direction === own.rule.direction && l7Conflict(p.rule.l7!, own.rule.l7!) !== undefined && meet(world, p, own));
    if (other) report('l7-conflict', 'error', `${own.rule.path}.rules`, `${where(other)} is for the same port and peers, and the two cannot hold together, so nothing passes there: ${l7Conflict(other.rule.l7!, own.rule.l7!)}`, 'give each parser ports or peers of its own');
  }
}

function meet(world: World, a: Placed, b: Placed): boolean {
  const sameSubject = coversSelector(a.spec.subject, b.spec.subject) || coversSelector(b.spec.subject, a.spec.subject)
    || world.scenario.pods.some(pod => !pod.hostNetwork && a.spec.subject.matches(pod.labels) && b.spec.subject.matches(pod.labels));
  return sameSubject && portsMeet(a.rule.ports, b.rule.ports) && peersMeet(a, b);
}

function peersMeet(a: Placed, b: Placed): boolean {
  const anyPort = ({ spec, rule }: Placed): Placed => ({ policy: a.policy, spec: { ...spec, subject: a.spec.subject }, rule: { ...rule, ports: 'any' } satisfies Rule });
  return covers(anyPort(a), anyPort(b)) || covers(anyPort(b), anyPort(a));
}
