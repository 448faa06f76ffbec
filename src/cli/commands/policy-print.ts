import { portText } from '../../policy/ends.ts';
import type { Connection, Leg, Step } from '../../policy/connection.ts';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import { line } from '../output.ts';

export function legTitle(leg: Leg): string {
  return `${safe(leg.from.text)} → ${safe(leg.to.text)} ${portText(leg)}`;
}

export function verdictWord(verdict: string, paint: Paint): string {
  return verdict === 'allow' ? paint.good('ALLOW') : verdict === 'deny' ? paint.bad('DENY') : paint.careful(verdict.toUpperCase());
}

/** The verdict, and for each end what decided and where that is written. */
export function printLeg(leg: Leg, paint: Paint): void {
  line(`${legTitle(leg)}: ${verdictWord(leg.verdict, paint)}`);
  if (leg.steps.length === 0) line('  no end is a pod: no policy is asked');
  for (const step of leg.steps) printStep(step, paint);
}

export function printStep(step: Step, paint: Paint): void {
  line(`  ${step.direction} of ${safe(step.pod.namespace)}/${safe(step.pod.name)}: ${verdictWord(step.verdict, paint)}${step.audit ? ` ${paint.careful('in audit')}` : ''} — ${safe(readable(step.rule.because))}`);
  if (step.place !== undefined) line(`      ${paint.faint(`at ${safe(step.place)}`)}`);
  if (step.shadow) line(`      ${paint.careful('in shadow')}: ${verdictWord(step.shadow.verdict, paint)} — ${safe(readable(step.shadow.rule.because))}`);
}

/** What scope adds to every selector, in fewer words: the cluster is left out, the namespace is `in demo`. */
export function readable(text: string): string {
  return text
    .replaceAll(/,? ?k8s:io\.cilium\.k8s\.policy\.cluster=[\w.-]+/g, '')
    .replaceAll(/(?:, )?k8s:io\.kubernetes\.pod\.namespace=([\w.-]+)/g, ' in $1')
    .replaceAll(/(?:, )?k8s:io\.kubernetes\.pod\.namespace(?![\w.=])/g, ' in any namespace')
    .replaceAll(/ {2,}/g, ' ').replaceAll(/^, |(?<= ), /g, '').trim();
}

// ---- as JSON ----

export function connectionJson(connection: Connection): object {
  return {
    from: connection.from.text, to: connection.to.text, port: portText(connection.asked), verdict: connection.verdict, notes: connection.notes,
    legs: connection.legs.map(legJson),
  };
}

export function legJson(leg: Leg): object {
  return { from: leg.from.text, to: leg.to.text, port: portText(leg), verdict: leg.verdict, steps: leg.steps.map(stepJson) };
}

export function stepJson(step: Step): object {
  const { id, address, kind, namespace, name, path, effect, because, notEnforced } = step.rule;
  return {
    direction: step.direction, pod: `${step.pod.namespace}/${step.pod.name}`, verdict: step.verdict,
    rule: { id, address, kind, namespace, name, path, effect, because, notEnforced }, place: step.place, audit: step.audit, keepEstablished: step.keepEstablished,
    ...(step.shadow && { shadow: { verdict: step.shadow.verdict, rule: { id: step.shadow.rule.id, address: step.shadow.rule.address, because: step.shadow.rule.because } } }),
  };
}
