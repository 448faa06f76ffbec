/** All checks over all policies of a world; findings in the order of places. */
import type { World } from '../world.ts';
import { checkDns } from './dns.ts';
import type { Checked, Finding, Report } from './finding.ts';
import { checkKernel } from './kernel.ts';
import { checkParsers } from './l7.ts';
import { checkMatches } from './matches.ts';
import { checkModes, checkNetworks } from './modes.ts';
import { checkOrdered } from './ordered.ts';
import { checkPorts } from './ports.ts';
import { checkShadows } from './shadows.ts';
import { checkAccepted, checkInvalid } from './silent.ts';
import { checkWidth } from './width.ts';

const checks: readonly ((checked: Checked) => void)[] = [checkWidth, checkMatches, checkShadows, checkPorts, checkDns, checkAccepted, checkOrdered, checkNetworks, checkParsers, checkKernel, checkModes];

export function lint(world: World): readonly Finding[] {
  const findings: Finding[] = [];
  for (const source of world.scenario.policies) {
    const report: Report = (code, severity, field, message, mend) => {
      const finding = { code, severity, policy: source.address, field, place: source.place(field), message, mend };
      if (!findings.some(f => f.code === code && f.policy === finding.policy && f.field === field && f.message === message)) findings.push(finding);
    };
    checkInvalid(world, source, report);
    // Of policies with one address the last counts; the others say nothing.
    if (source.policy && world.sourceOf(source.address) === source) for (const check of checks) check({ world, source, policy: source.policy, report });
  }
  return findings.sort((a, b) => comparePlaces(a, b));
}

function comparePlaces(a: Finding, b: Finding): number {
  const split = (text: string) => [text.slice(0, Math.max(0, text.lastIndexOf(':'))), Number(text.slice(text.lastIndexOf(':') + 1))] as const;
  const [[fileA, lineA], [fileB, lineB]] = [split(a.place), split(b.place)];
  if (fileA !== fileB) return fileA < fileB ? -1 : 1;
  return lineA - lineB || (a.policy < b.policy ? -1 : a.policy > b.policy ? 1 : 0);
}
