/** The probes of one running container: start-up first, then liveness and readiness side by side, each in its own time. */
import { delay } from '../std/async.ts';
import { runHandler } from './probe.ts';
import type { ProbeContext, ProbeResult } from './probe.ts';
import type { Probe } from './types.ts';

export interface ProberEvents {
  /** The start-up probe has succeeded (or there is none). */
  onStarted(): void;
  onReady(ready: boolean): void;
  /** Liveness or start-up has failed for good: the container must be killed. */
  onUnhealthy(kind: 'Liveness' | 'Startup', message: string): void;
  /** Every failure, for the Unhealthy event. */
  onFailure(kind: 'Liveness' | 'Readiness' | 'Startup', output: string): void;
}

export interface ProberOptions {
  readonly context: ProbeContext;
  readonly events: ProberEvents;
  readonly signal: AbortSignal;
  /** Milliseconds since the container started: initial delays count from there. */
  readonly ageMs: number;
  /** A container adopted as started skips its start-up probe. */
  readonly started: boolean;
  readonly random?: () => number;
}

/** Runs until the signal aborts. Never rejects. */
export async function runProber(options: ProberOptions): Promise<void> {
  const { container } = options.context;
  const { events, signal } = options;
  try {
    if (container.startupProbe && !options.started) {
      const passed = await untilStarted(container.startupProbe, options);
      if (!passed) return;
    }
    events.onStarted();
    await Promise.all([
      container.livenessProbe ? watchLiveness(container.livenessProbe, options) : undefined,
      container.readinessProbe ? watchReadiness(container.readinessProbe, options) : events.onReady(true),
    ]);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function untilStarted(probe: Probe, options: ProberOptions): Promise<boolean> {
  let failures = 0;
  for await (const result of results(probe, options, 1)) {
    if (result.ok) return true;
    options.events.onFailure('Startup', result.output);
    if (++failures < (probe.failureThreshold ?? 3)) continue;
    options.events.onUnhealthy('Startup', result.output);
    return false;
  }
  return false;
}

async function watchLiveness(probe: Probe, options: ProberOptions): Promise<void> {
  let failures = 0;
  for await (const result of results(probe, options, 0)) {
    failures = result.ok ? 0 : failures + 1;
    if (result.ok) continue;
    options.events.onFailure('Liveness', result.output);
    if (failures < (probe.failureThreshold ?? 3)) continue;
    options.events.onUnhealthy('Liveness', result.output);
    return;
  }
}

async function watchReadiness(probe: Probe, options: ProberOptions): Promise<void> {
  let streak = 0;
  let last: boolean | undefined;
  for await (const result of results(probe, options, 1)) {
    streak = result.ok === last ? streak + 1 : 1;
    last = result.ok;
    if (!result.ok) options.events.onFailure('Readiness', result.output);
    if (streak >= (result.ok ? probe.successThreshold ?? 1 : probe.failureThreshold ?? 3)) options.events.onReady(result.ok);
  }
}

/** A result each period. `eager`: until the first success it asks more often at first, so that a pod is ready as soon as it is. */
async function* results(probe: Probe, options: ProberOptions, eager: number): AsyncGenerator<ProbeResult> {
  const { signal, context, ageMs, random = Math.random } = options;
  const periodMs = (probe.periodSeconds ?? 10) * 1000;
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000;
  await delay(Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - ageMs), signal);
  // An adopted container has probes spread over the period; a new one is asked at once.
  if (ageMs > 5_000) await delay(random() * Math.min(periodMs, 1_000), signal);
  let early = eager > 0 && ageMs < 5_000 ? earlyTries : [];
  for (;;) {
    const began = performance.now();
    const result = await runHandler(probe, context, timeoutMs);
    if (signal.aborted) return;
    // The early tries do not count as failures: the process is only just coming up.
    const [pause, ...rest] = early;
    if (!result.ok && pause !== undefined && pause < periodMs) {
      early = rest;
      await delay(pause, signal);
      continue;
    }
    early = [];
    yield result;
    await delay(Math.max(10, periodMs - (performance.now() - began)), signal);
  }
}

const earlyTries: readonly number[] = [20, 50, 100, 200, 400, 500, 500, 1000];
