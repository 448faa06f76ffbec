import type { Flow } from '../../model/flow.ts';
import { delay } from '../../std/async.ts';
import type { Context } from '../context.ts';
import { DropWatch } from './drops.ts';
import { ProbeHelper, type Origin } from './helper.ts';
import type { End, PodResult, ProbeOrder } from './protocol.ts';
import type { Target } from './target.ts';

export type Outcome = 'allowed' | 'denied' | 'refused' | 'timed-out' | 'unreachable';

/** The contract of `cirri probe -o json`. */
export interface ProbeResult {
  readonly outcome: Outcome;
  readonly latencyMs: number;
  readonly httpStatus: number | null;
  readonly source: End | null;
  readonly peer: End | null;
  readonly drop: { readonly reason: string; readonly rule: string | null } | null;
}

export interface ProbeRequest {
  readonly from: Origin & { readonly namespace: string };
  readonly to: Target;
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'ICMP';
  readonly http?: ProbeOrder['http'];
  readonly family: 0 | 4 | 6;
  readonly timeoutMs: number;
}

export interface DetailedResult {
  readonly result: ProbeResult;
  readonly flow: Flow | undefined;
  readonly error: string | null;
}

/** After a timeout, how long a drop may still be on its way from kernel to us. */
const lastWordMs = 60;

/** Runs probes: one helper for each origin, one watch for all drops. */
export class Prober {
  readonly #context: Context;
  readonly #drops: DropWatch;
  readonly #helpers = new Map<string, ProbeHelper>();
  #nextId = 1;

  constructor(context: Context) {
    this.#context = context;
    this.#drops = new DropWatch(context);
  }

  async run(request: ProbeRequest): Promise<DetailedResult> {
    const helper = this.#helperOf(request.from);
    await Promise.all([this.#drops.ready, helper.ready]);
    const id = this.#nextId++;
    const since = new Date();
    let flow: Flow | undefined;
    let stopWaiting = () => {};
    const answer = await helper.run(this.#order(id, request), {
      onSource: source => {
        stopWaiting = this.#drops.expect(request.protocol, source, since, seen => {
          flow = seen;
          helper.cancel(id);
        });
      },
    });
    if (answer.outcome === 'timed-out' && !flow) await delay(lastWordMs);
    stopWaiting();
    // A refusal is an answer even where a later packet of the same connection was dropped.
    const denied = flow !== undefined && answer.outcome !== 'allowed';
    return { result: resultOf(answer, denied ? flow : undefined), flow: denied ? flow : undefined, error: answer.error };
  }

  close(): void {
    this.#drops.close();
    for (const helper of this.#helpers.values()) helper.close();
  }

  #helperOf(origin: Origin): ProbeHelper {
    let helper = this.#helpers.get(origin.netns);
    if (!helper) this.#helpers.set(origin.netns, (helper = new ProbeHelper(origin)));
    return helper;
  }

  #order(id: number, request: ProbeRequest): ProbeOrder {
    const { dnsIp4, clusterDomain } = this.#context.record;
    const search = [`${request.from.namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain];
    const { port, protocol, timeoutMs, family, http } = request;
    return { id, host: request.to.host, family, dns: { server: dnsIp4, search }, port, protocol, timeoutMs, ...(http && { http }) };
  }
}

function resultOf(answer: PodResult, dropped: Flow | undefined): ProbeResult {
  const { outcome, latencyMs, httpStatus, source, peer } = answer;
  return { outcome: dropped ? 'denied' : outcome, latencyMs, httpStatus, source, peer, drop: dropped ? { reason: dropped.dropReason ?? 'unknown', rule: ruleName(dropped) } : null };
}

/** `CiliumNetworkPolicy demo/allow-frontend-to-api spec.ingress[0]`; a default denial names the policies that turned it on. */
export function ruleName(flow: Flow): string | null {
  const { rule } = flow;
  if (!rule) return null;
  const name = rule.namespace ? `${rule.namespace}/${rule.name}` : rule.name;
  const kind = rule.kind === 'default' ? '' : `${rule.kind} `;
  return `${kind}${name} ${rule.effect === 'default-deny' ? '(default deny)' : rule.path}`.trim();
}
