import { portText } from '../../policy/ends.ts';
import { stepAt } from '../../policy/connection.ts';
import type { Connection, Leg, Step } from '../../policy/connection.ts';
import { readable } from '../../model/readable.ts';
import type { Read } from '../../policy/http-reader.ts';
import { reasonsOf } from '../../policy/reasons.ts';
import type { World } from '../../policy/world.ts';
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
export function printLeg(world: World, leg: Leg, paint: Paint, write: (text: string) => void = line): void {
  write(`${legTitle(leg)}: ${verdictWord(leg.verdict, paint)}`);
  if (leg.steps.length === 0) write('  no end is a pod: no policy is asked');
  for (const step of leg.steps) printStep(world, step, paint, write);
}

export function printStep(world: World, step: Step, paint: Paint, write: (text: string) => void = line): void {
  write(`  ${step.direction} of ${safe(stepAt(step))}: ${verdictWord(step.verdict, paint)} — ${safe(readable(step.rule.because))}`);
  if (step.place !== undefined) write(`      ${paint.faint(`at ${safe(step.place)}`)}`);
  for (const reason of reasonsOf(world, step)) write(`      ${safe(readable(reason))}`);
}

// ---- as JSON ----

export function connectionJson(world: World, connection: Connection): object {
  return {
    from: connection.from.text, to: connection.to.text, port: portText(connection.asked), verdict: connection.verdict, notes: connection.notes,
    legs: connection.legs.map(leg => legJson(world, leg)),
  };
}

export function legJson(world: World, leg: Leg): object {
  return { from: leg.from.text, to: leg.to.text, port: portText(leg), verdict: leg.verdict, steps: leg.steps.map(step => stepJson(world, step)) };
}

/** Who reads the requests, where HTTP is read. */
export function readJson(read: Read | undefined): object {
  return read ? { reader: read.reader, ...(read.why !== undefined && { whyNotKernel: read.why }) } : {};
}

export function stepJson(world: World, step: Step): object {
  const { id, address, kind, namespace, name, path, effect, because, notEnforced } = step.rule;
  const who = step.end.type === 'pod' ? { pod: stepAt(step) } : { node: step.end.type === 'node' ? step.end.node : step.end.text };
  const reasons = reasonsOf(world, step);
  return {
    direction: step.direction, ...who, verdict: step.verdict,
    rule: { id, address, kind, namespace, name, path, effect, because, notEnforced }, place: step.place,
    ...(reasons.length > 0 && { reasons }), ...(step.audit !== undefined && { audit: step.audit }),
    ...(step.shadow && { shadow: { verdict: step.shadow.verdict, rule: step.shadow.rule.address } }),
    ...readJson(step.read),
    ...(step.keepEstablished && { keepEstablished: true }), ...(step.request !== undefined && { request: step.request, requestRule: step.requestRule?.address, refusal: step.refusal }),
  };
}
