import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { bringDown } from '../../cluster/down.ts';
import { processRef, readPidFile, writePidFile } from '../../cluster/pidfile.ts';
import type { Progress } from '../../cluster/progress.ts';
import { bringUp } from '../../cluster/up.ts';
import { KubeClient } from '../../kube/client.ts';
import { statePaths, type ClusterRecord, type StatePaths } from '../../model/cluster.ts';
import { ClusterModel, modelOf, type CarriedOut } from '../../policy/conformance/connectivity.ts';
import { outcome, type ConformanceCase, type Outcome } from '../../policy/conformance/case.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import type { Context } from '../context.ts';
import { admissible } from './admissible.ts';
import { Arranger } from './arrange.ts';
import { disagreement, judge, type EngineSays } from './judge.ts';
import { Outside } from './outside.ts';
import { planCase, type CasePlan, type RigFacts } from './plan.ts';
import { RigProber, type Observed } from './prober.ts';

export interface RigOptions {
  /** Left up, for a look at it. */
  readonly keep: boolean;
  readonly routing: 'tunnel' | 'native';
}

/** Of a case: what held, and where the engine says otherwise. */
export interface RigOutcome extends Outcome {
  readonly disagreements: readonly string[];
}

const silent: Progress = { step: (_, run) => Promise.resolve(run()), note: () => {} };
const upTimeoutMs = 120_000;

/**
 * A cluster that exists for conformance cases alone, and what is outside of it:
 *
 *     case ─► plan ─► objects in the API ─► agents have them in force ─► probes between pods ─► verdicts
 *
 * It never touches the user's own cluster, and goes however the run ends.
 */
export class Rig {
  readonly instance: string;
  readonly #paths: StatePaths;
  readonly #options: RigOptions;
  readonly #signal: AbortSignal;
  #context: Context | undefined;
  #outside: Outside | undefined;
  #arranger: Arranger | undefined;
  #prober: RigProber | undefined;

  constructor(options: RigOptions, signal: AbortSignal) {
    this.instance = `k${process.pid.toString(36)}`.slice(0, 8);
    this.#paths = statePaths(this.instance, join(stateRoot, this.instance));
    this.#options = options;
    this.#signal = signal;
  }

  async up(nodes: number): Promise<void> {
    mkdirSync(this.#paths.state, { recursive: true, mode: 0o700 });
    if (!this.#options.keep) writePidFile(markerOf(this.instance), processRef(process.pid)!);
    const { record } = await bringUp({ instance: this.instance, paths: this.#paths, nodes, values: [{ path: 'routingMode', value: this.#options.routing, where: '--routing' }], demo: false, timeoutMs: upTimeoutMs }, silent);
    this.#signal.throwIfAborted();
    this.#context = { instance: this.instance, paths: this.#paths, record, client: new KubeClient({ socketPath: this.#paths.apiserverSocket, userAgent: 'cirri-conformance' }) };
    this.#outside = new Outside(record, this.#paths);
    this.#arranger = new Arranger(this.#context, this.#signal);
    this.#prober = new RigProber(this.#context, this.#outside);
  }

  /** Throws when the rig itself is in trouble: that is never a result. */
  async run(testCase: ConformanceCase, compare: boolean): Promise<RigOutcome> {
    this.#signal.throwIfAborted();
    let plan: CasePlan;
    try {
      plan = planCase(testCase, factsOf(this.#context!.record));
    } catch (error) {
      // A case that contradicts itself has failed, and the others go on.
      return { ...outcome(0, [`cannot be run: ${errorText(error)}`]), disagreements: [] };
    }
    if (plan.probes.length === 0) return { ...outcome(0, [], plan.skipped), disagreements: [] };
    this.#outside!.setAddresses([...outsideAddresses(plan)]);
    const arranged = await this.#arranger!.arrange(plan, key => this.#prober!.forget(key));
    if ('refused' in arranged) return { ...(arranged.unknown ? outcome(0, [], [arranged.refused]) : outcome(0, [arranged.refused])), disagreements: [] };
    const observed = await this.#prober!.run(plan, arranged.pods);
    return judgeAll(plan, observed, engineOf(testCase), compare);
  }

  /** What a reader of the results has to know. */
  get notes(): readonly string[] {
    return this.#prober?.rawSctp ? ['SCTP: this kernel has none; the probes were its INIT packets on raw sockets, answered by INIT ACK'] : [];
  }

  /** What can be said from the outside about a rig that is left up. */
  get keptText(): string {
    return `the rig is left up: CIRRI_INSTANCE=${this.instance} ./cirri status; it goes with CIRRI_INSTANCE=${this.instance} ./cirri down`;
  }

  async down(): Promise<void> {
    this.#prober?.close();
    this.#outside?.close();
    this.#context?.client.close();
    if (!this.#options.keep) await bringDown({ instance: this.instance, paths: this.#paths, keepState: false }, silent);
  }
}

function factsOf(record: ClusterRecord): RigFacts {
  return {
    nodes: record.nodes.map(node => node.name),
    prefixes: [record.clusterCidr4, record.clusterCidr6, record.serviceCidr4, record.serviceCidr6, record.underlay.prefix4, record.underlay.prefix6],
  };
}

/** Rigs whose process was killed before it could take them down. Returns their names. */
export async function removeDeadRigs(): Promise<readonly string[]> {
  const dead = existsSync(stateRoot) ? readdirSync(stateRoot).filter(name => existsSync(markerOf(name)) && !readPidFile(markerOf(name))) : [];
  for (const instance of dead) await bringDown({ instance, paths: statePaths(instance, join(stateRoot, instance)), keepState: false }, silent);
  return dead;
}

const stateRoot = '/var/lib/cirri';

/** Names the process that a rig belongs to; a cluster without it is a user's. */
function markerOf(instance: string): string {
  return join(stateRoot, instance, 'rig.pid');
}

/** Root is needed before anything is begun. */
export function checkRigRights(): void {
  if (process.getuid?.() !== 0) throw new CirriError('ERR_NOT_ROOT', 'probes between real pods take a cluster, and that takes root', { mend: 'run: sudo ./cirri conformance --datapath FILES; or the engine alone: --engine' });
}

function judgeAll(plan: CasePlan, observed: readonly Observed[], engine: EngineSays | undefined, compare: boolean): RigOutcome {
  const results = plan.probes.map(({ probe }, i) => judge(probe, observed[i]!, engine));
  return {
    passed: results.filter(r => r === 'pass').length,
    failures: results.filter(r => r !== 'pass' && !r.startsWith('skip: ')),
    skipped: [...plan.skipped, ...results.filter(r => r.startsWith('skip: ')).map(r => r.slice(6))],
    disagreements: engine && compare ? plan.probes.flatMap(({ probe }, i) => disagreement(probe, observed[i]!, engine) ?? []) : [],
  };
}

/** What is not carried out between the rig's ends, so that it fails closed: nobody authenticates, and no end asks for names. */
const datapathLacks: CarriedOut = { proxy: true, authentication: false, nodeLabels: true, names: false };

/** Undefined where the engine cannot be asked. */
function engineOf(testCase: ConformanceCase): EngineSays | undefined {
  const taken = { ...testCase, policies: (testCase.policies ?? []).map(admissible) };
  const whole = modelOf(taken);
  const built = modelOf(taken, datapathLacks);
  if (!(whole instanceof ClusterModel) || !(built instanceof ClusterModel)) return undefined;
  return {
    verdict: probe => whole.connect(probe).verdict,
    deniedBy: probe => built.connect(probe).deniedBy,
    isRead: probe => built.connect(probe).isRead ?? false,
    notBuilt: probe => {
      const { verdict, rules } = built.connect(probe);
      if (verdict !== 'deny' || whole.connect(probe).verdict === 'deny') return undefined;
      return `not enforced yet, fails closed: ${rules.find(r => r.notEnforced)?.notEnforced ?? built.missing[0] ?? 'the ends ask for no names, so none are learned'}`;
    },
  };
}

function outsideAddresses(plan: CasePlan): ReadonlySet<string> {
  return new Set(plan.probes.flatMap(({ from, to }) => [from, ...to]).flatMap(place => (place.kind === 'outside' ? [place.address] : [])));
}
