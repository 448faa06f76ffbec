import type { Paint } from '../../flows/print/paint.ts';
import { safe } from '../../flows/print/safe.ts';
import type { Flow, FlowEndpoint } from '../../model/flow.ts';
import { explainLeg } from '../../policy/explained.ts';
import { flowConnection } from '../../policy/flow-question.ts';
import type { World } from '../../policy/world.ts';
import { delay } from '../../std/async.ts';
import { errorText } from '../../std/errors.ts';
import { printExplained } from '../commands/policy-explained-text.ts';

/** How many explanations are kept, how old a picture of the cluster may be for a new one, and how long one may take. */
const kept = 256;
const freshMs = 2_000;
const patienceMs = 10_000;

/** Drops by a policy: no rule allowed, a rule denied. */
const policyReasons: ReadonlySet<number> = new Set([133, 181]);

export interface ExplainerOptions {
  /** Reads pods and policies as they are now. */
  readonly loadWorld: () => Promise<World>;
  readonly paint: Paint;
  /** Denials are told by the verdict and by the drop that it leads to. Explained are drops, and verdicts where drops are not shown. */
  readonly verdicts?: boolean;
  readonly now?: () => number;
}

/**
 * What `cirri policy explain` says of denied flows, in lines to be put under them. Computed once for each pair of ends, port and
 * rule that decided: a rule's id changes with its text, so an explanation is as new as what it explains. Never throws: where
 * there is no explanation, the line says why.
 */
export class Explainer {
  readonly #options: ExplainerOptions;
  readonly #known = new Map<string, Promise<readonly string[]>>();
  #world: { readonly at: number; readonly world: Promise<World> } | undefined;

  constructor(options: ExplainerOptions) {
    this.#options = options;
  }

  /** Undefined for what was not denied. */
  explain(flow: Flow): Promise<readonly string[]> | undefined {
    if (flow.type !== 'drop' && !(this.#options.verdicts && flow.type === 'policy-verdict' && flow.verdict === 'DROPPED')) return undefined;
    const key = questionOf(flow);
    let found = this.#known.get(key);
    // The least recently asked goes first.
    if (found) this.#known.delete(key);
    else found = this.#compute(flow);
    this.#known.set(key, found);
    if (this.#known.size > kept) this.#known.delete(this.#known.keys().next().value!);
    return found;
  }

  async #compute(flow: Flow): Promise<readonly string[]> {
    // Only policies explain themselves; what the packet was dropped for otherwise is its reason.
    if (flow.rule === undefined && flow.type === 'drop' && !policyReasons.has(flow.dropReasonCode ?? flow.subType ?? 0)) return [`    not by a policy: ${safe(flow.dropReason ?? 'unknown reason')}`];
    const late = new AbortController();
    try {
      return await Promise.race([this.#lines(flow), delay(patienceMs, late.signal).then(() => [`    no explanation within ${patienceMs / 1000} s`])]);
    } catch (error) {
      return [`    no explanation: ${safe(errorText(error))}`];
    } finally {
      late.abort(new Error('explained'));
    }
  }

  async #lines(flow: Flow): Promise<readonly string[]> {
    const world = await this.#freshWorld();
    const connection = flowConnection(world, flow);
    const lines: string[] = [];
    if (connection.verdict === 'allow') lines.push(this.#options.paint.careful('the policies of now decide otherwise: allow'));
    for (const note of connection.notes) lines.push(safe(note));
    for (const leg of connection.legs) printExplained(world, explainLeg(world, leg), this.#options.paint, text => lines.push(text));
    return lines.map(text => (text === '' ? '' : `    ${text}`));
  }

  #freshWorld(): Promise<World> {
    const now = (this.#options.now ?? Date.now)();
    if (this.#world === undefined || now - this.#world.at > freshMs) {
      const world = this.#options.loadWorld();
      this.#world = { at: now, world };
      // The next one tries again.
      world.catch(() => {
        if (this.#world?.world === world) this.#world = undefined;
      });
    }
    return this.#world.world;
  }
}

function questionOf(flow: Flow): string {
  const end = ({ namespace, podName, ip, identity }: FlowEndpoint) => (podName === undefined ? `${ip} ${identity}` : `${namespace}/${podName}`);
  return [end(flow.source), end(flow.destination), flow.protocol, flow.isReply === true ? flow.sourcePort : flow.destinationPort ?? flow.icmpType, flow.direction, flow.rule?.id ?? flow.dropReasonCode].join(' ');
}
