/** What a probe's end says of its case. Pure. */
import type { Flow, FlowRule } from '../../model/flow.ts';
import { probeText } from '../../policy/conformance/connectivity.ts';
import type { Probe } from '../../policy/conformance/case.ts';
import { ruleName } from '../probe/probe.ts';
import type { Observed } from './prober.ts';

/** The engine, asked about probes of the same case. */
export interface EngineSays {
  verdict(probe: Probe): 'allow' | 'deny' | 'http-403';
  /** The first rule on the way that denies it, as the datapath is to have it. */
  deniedBy(probe: Probe): DecidingRule | undefined;
  /** Why the datapath fails closed for this probe, where what the policy asks for is not built yet. */
  notBuilt(probe: Probe): string | undefined;
  /** What is said is read on the way: the node's proxy takes the connection before the other end is asked. */
  isRead(probe: Probe): boolean;
}

/** `pass`, `skip: why`, or what differs. A denial must be silent, and an agent must have seen the very packet dropped by policy. */
export function judge(probe: Probe, observed: Observed, engine: EngineSays | undefined): string {
  if (holds(probe, observed)) return 'pass';
  // What is not enforced yet fails closed; the engine knows which rule that is.
  const notBuilt = probe.expect === 'allow' && observed.drop ? engine?.notBuilt(probe) : undefined;
  if (notBuilt !== undefined) return `skip: ${notBuilt}`;
  if (isTakenByProxy(probe, observed, engine)) return 'skip: the proxy takes the connection before the other end is asked, and the ends say nothing in it';
  return `${probeText(probe)}: expected ${probe.expect}, got ${observedText(observed)}`;
}

function isTakenByProxy(probe: Probe, { outcome }: Observed, engine: EngineSays | undefined): boolean {
  return probe.expect === 'deny' && outcome === 'allow' && probe.protocol === 'TCP' && engine?.verdict(probe) === 'deny' && engine.isRead(probe);
}

/** Where engine and datapath differ, in words; that something is not built yet is no difference. */
export function disagreement(probe: Probe, observed: Observed, engine: EngineSays): string | undefined {
  const verdict = observed.outcome === 'allow' || observed.outcome === 'http-403' ? observed.outcome : 'deny';
  const says = engine.verdict(probe);
  if (isTakenByProxy(probe, observed, engine)) return undefined;
  if (verdict === 'deny' && observed.drop && engine.notBuilt(probe) !== undefined) return undefined;
  if (verdict !== says) return `${probeText(probe)}: the engine says ${says}, the datapath ${observedText(observed)}`;
  const [theirs, ours] = [engine.deniedBy(probe), observed.drop?.rule];
  return !theirs || !ours || ruleText(theirs) === ruleText(ours) ? undefined : `${probeText(probe)}: denied, but the engine says by ${ruleText(theirs)}, the datapath by ${ruleText(ours)}`;
}

type DecidingRule = Pick<FlowRule, 'kind' | 'namespace' | 'name' | 'path' | 'effect'>;

function ruleText({ kind, namespace, name, path, effect }: DecidingRule): string {
  return [kind, namespace === undefined ? name : `${namespace}/${name}`, path, effect].filter(Boolean).join(' ');
}

function holds(probe: Probe, observed: Observed): boolean {
  const { outcome, drop, dropsLost } = observed;
  if (probe.expect === 'allow' || probe.expect === 'http-403') return outcome === probe.expect;
  if (probe.expect === 'reject') return outcome === 'refused' || outcome === 'unreachable';
  return outcome === 'silent' && (drop ? isPolicyDrop(drop) : dropsLost === true);
}

function observedText({ outcome, reason, drop }: Observed): string {
  if (drop) return `dropped on ${drop.nodeName}: ${drop.dropReason ?? 'no reason'}${isPolicyDrop(drop) ? ` (${ruleName(drop) ?? 'no rule'}, ${drop.direction.toLowerCase()})` : ''}`;
  if (outcome === 'allow') return 'an answer';
  if (outcome === 'silent') return 'no answer, and no agent saw a drop';
  return `${outcome}${reason === undefined ? '' : `: ${reason}`}`;
}

/** Policy denied; by a deny rule; authentication required; what nobody reads. Any other reason is trouble, not a verdict. */
const policyReasons: ReadonlySet<number> = new Set([133, 181, 189, 180]);

function isPolicyDrop(flow: Flow): boolean {
  return policyReasons.has(flow.dropReasonCode ?? 0);
}
