import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import { stepAt, type Step } from '../../policy/connection.ts';
import { changeYaml, type Explained } from '../../policy/explained.ts';
import { policyText } from '../../policy/policy.ts';
import type { Change, Suggestion } from '../../policy/suggest.ts';
import type { World } from '../../policy/world.ts';
import { line as toOutput } from '../output.ts';
import { printLeg } from './policy-print.ts';

type Write = (text: string) => void;

const shownEffects = 12;

/** A leg as `cirri policy explain` tells it: verdict, what closed it, what came near, the smallest change and what else that opens. */
export function printExplained(world: World, { leg, misses, closing, suggestion }: Explained, paint: Paint, line: Write = toOutput): void {
  printLeg(world, leg, paint, line);
  for (const [step, near] of misses) {
    const isDefault = closing.has(step);
    for (const { policy, field, place } of closing.get(step) ?? []) line(`  ${step.direction} of ${safe(nameAt(step))} is closed by ${safe(policyText(policy))}: ${field}${place ? ` (${safe(place)})` : ''}`);
    if (near.length === 0 && isDefault) line(`  no rule at ${step.direction} of ${safe(nameAt(step))} comes near`);
    for (const [i, miss] of near.entries()) {
      line(`  ${i === 0 ? `nearest rule${isDefault ? '' : ' that is asked before'}` : 'next nearest'}: ${safe(policyText(miss.policy))}, misses by the ${miss.missed}`);
      line(`      ${safe(miss.field)}${miss.place ? ` (${safe(miss.place)})` : ''}: ${safe(miss.text)}`);
    }
  }
  if (!leg.steps.some(step => step.verdict === 'deny' && step.request === undefined)) return;
  if (!suggestion) {
    const pending = leg.steps.find(step => step.rule.notEnforced !== undefined);
    line(`  ${paint.careful('no small change of a policy would allow it')}${pending ? `: ${safe(pending.rule.notEnforced ?? '')}` : ''}`);
    return;
  }
  for (const [i, change] of suggestion.changes.entries()) printChange(change, i, suggestion.changes.length, paint, line);
  printEffects(suggestion, paint, line);
}

/** `web`, `node n1`. */
function nameAt(step: Step): string {
  return step.pod?.name ?? stepAt(step);
}

function printChange(change: Change, index: number, count: number, paint: Paint, line: Write): void {
  const which = count > 1 ? `change ${index + 1} of ${count}` : 'the smallest change that allows it (tried)';
  line(`  ${paint.strong(which)}: ${safe(change.text)}${change.place ? ` (${safe(change.place)})` : ''}`);
  line('');
  for (const row of changeYaml(change).trimEnd().split('\n')) line(`    ${safe(row)}`);
  line('');
}

function printEffects({ sideEffects }: Suggestion, paint: Paint, line: Write): void {
  if (sideEffects.length === 0) return line(`  ${paint.good('it changes nothing else')}`);
  line(`  ${paint.careful('it also changes')}:`);
  for (const { from, to, gained, lost, audited } of sideEffects.slice(0, shownEffects)) {
    line(`      ${safe(from)} → ${safe(to)}${gained.length > 0 ? `: allows ${gained.join(', ')}` : ''}${lost.length > 0 ? `: denies ${lost.join(', ')}` : ''}${audited.length > 0 ? `: puts into audit ${audited.join(', ')}` : ''}`);
  }
  if (sideEffects.length > shownEffects) line(`      and ${sideEffects.length - shownEffects} more (-o json shows all)`);
}
