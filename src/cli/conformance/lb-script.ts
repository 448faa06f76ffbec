import { parseAllDocuments, stringify } from 'yaml';
import type { KubeObject } from '../../kube/types.ts';
import { outcome, type Outcome } from '../../policy/conformance/case.ts';
import { dumpFacts, dumpLines } from './lb-dump.ts';
import { compareTables } from './lb-tables.ts';
import type { TextRow } from './lb-tables.ts';
import { LbWorld, settingsOfFlags } from './lb-world.ts';

/** Kind `lb-script`: objects that come and go, and what is to be in upstream's tables and maps after each step. */
export interface LbScriptCase {
  readonly tags?: readonly string[];
  readonly objects: Readonly<Record<string, readonly unknown[]>>;
  readonly steps: readonly { readonly cmd: string; readonly expect_failure?: boolean }[];
  readonly tables: Readonly<Record<string, readonly TextRow[]>>;
  readonly expected_text: Readonly<Record<string, readonly string[]>>;
}

/** Runs the steps through the agent's own derivation and target; what has no counterpart here is skipped, with the reason. */
export function runLbScript(testCase: LbScriptCase): Outcome {
  const run = new ScriptRun(testCase);
  for (const { cmd, expect_failure } of testCase.steps) run.step(cmd, expect_failure === true);
  return outcome(run.passed, run.failures, run.skipped);
}

/** Steps that cannot be made here change what all later ones would find. */
const unknownStates: readonly (readonly [RegExp, string])[] = [
  [/^test\/(update-backend-health|set-is-service-healthchecked)/, 'health checks of backends come from outside of upstream\'s load balancing; there is nothing to set'],
  [/^mv .* state\.yaml/, 'services from a file: there is no such source'],
  [/^sed '#/, 'a comment of the script\'s file that the case does not hold'],
];

/** Steps that ask about upstream's own workings. */
const inner: readonly (readonly [RegExp, string])[] = [
  [/^(db\/(list|prefix|show)|db$)/, 'queries of upstream\'s database'],
  [/^cmp .* list\.actual$/, 'queries of upstream\'s database'],
  [/^(metrics|grep .* metrics\.actual|grep .*frontends\.actual)/, 'metrics and listings of upstream'],
  [/^grep .*\.expected$/, 'the script looks at its own expectation'],
  [/^(test\/bpfops-summary|stdout )/, 'how upstream counts what it restored'],
  [/^db\/(insert|cmp) node-addresses/, ''],
  [/^(hive.start|test\/init-wait|sleep )/, ''],
];

class ScriptRun {
  passed = 0;
  readonly failures: string[] = [];
  readonly skipped: string[] = [];
  readonly #case: LbScriptCase;
  readonly #files: Map<string, readonly unknown[]>;
  readonly #dumps = new Map<string, readonly string[]>();
  #world: LbWorld;
  #lost: string | undefined;
  #snapshot: ReturnType<typeof contents> | undefined;
  /** True since a label changed that upstream looks at only when the service changes. */
  #labelsMoved = false;

  constructor(testCase: LbScriptCase) {
    this.#case = testCase;
    this.#files = new Map(Object.entries(testCase.objects));
    this.#world = new LbWorld(settingsOfFlags(testCase.tags?.[0] ?? ''), nodeAddresses(testCase));
  }

  step(cmd: string, shouldFail: boolean): void {
    this.#lost ??= unknownStates.find(([pattern]) => pattern.test(cmd))?.[1];
    const reason = this.#lost ?? inner.find(([pattern]) => pattern.test(cmd))?.[1];
    if (reason !== undefined) {
      if (reason !== '') this.skipped.push(reason);
      return;
    }
    const [verb = '', ...args] = [...cmd.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(m => m[1] ?? m[2] ?? m[3]!);
    if (/^(k8s\/|cp|sed|replace|test\/|lb\/(prune|maps-snapshot|maps-restore))/.test(cmd)) this.#change(verb, args);
    else this.#check(cmd, verb, args, shouldFail);
  }

  #change(verb: string, args: readonly string[]): void {
    const world = this.#world;
    if (verb === 'cp') this.#files.set(args[1]!, this.#files.get(args[0]!)!);
    else if (verb === 'sed') this.#edit(args[2]!, text => text.replaceAll(new RegExp(args[0]!, 'gm'), args[1]!));
    else if (verb === 'replace') this.#edit(args[2]!, text => text.replaceAll(args[0]!, args[1]!));
    else if (verb === 'test/set-node-labels') {
      world.nodeLabels = Object.fromEntries(args.map(label => label.split('=') as [string, string]));
      this.#labelsMoved = true;
    } else if (verb === 'test/set-node-ip') this.#world = new LbWorld(settingsOfFlags(this.#case.tags?.[0] ?? ''), args);
    else if (verb === 'lb/maps-snapshot') this.#snapshot = contents(world);
    else if (verb === 'lb/maps-restore') restore(world, this.#snapshot!);
    else if (verb === 'lb/prune' || verb === 'test/bpfops-reset') world.restart();
    else {
      this.#labelsMoved = false;
      for (const object of args.flatMap(file => this.#files.get(file) as readonly KubeObject[])) verb === 'k8s/delete' ? world.drop(object) : world.put(object);
    }
    if (verb !== 'lb/maps-restore') this.#world.settle();
  }

  #check(cmd: string, verb: string, args: readonly string[], shouldFail: boolean): void {
    const dump = () => dumpLines(this.#world.maps, this.#world.maglev);
    if (verb === 'lb/maps-dump') this.#dumps.set(args[0]!, dump());
    else if (verb === 'lb/maps-empty') this.#judge(cmd, dumpFacts(dump()).facts, shouldFail);
    else if (verb === 'empty') this.#judge(cmd, dumpFacts(this.#dumps.get(args[0]!) ?? []).facts, shouldFail);
    else if (verb === 'grep') this.#judge(cmd, this.#dumps.get(args[1]!)?.some(line => new RegExp(args[0]!).test(line)) ? [] : ['no such line'], shouldFail);
    else if (verb === 'cmp') this.#compareDumps(cmd, args, shouldFail);
    else if (verb === 'db/cmp') this.#compareTable(cmd, args[0]!, this.#case.tables[args[1]!] ?? [], shouldFail);
    else if (verb === 'db/empty') for (const table of args) this.#compareTable(`${cmd}: ${table}`, table, [], shouldFail);
    else this.skipped.push(`a command that is not known: ${verb}`);
  }

  #compareDumps(cmd: string, args: readonly string[], shouldFail: boolean): void {
    const dumped = args.find(file => this.#dumps.has(file));
    const expected = args.find(file => file in this.#case.expected_text);
    if (dumped === undefined || expected === undefined) return void this.skipped.push('a file that the case does not hold');
    const [found, wanted] = [dumpFacts(this.#dumps.get(dumped)!), dumpFacts(this.#case.expected_text[expected]!)];
    this.skipped.push(...found.left, ...wanted.left);
    this.#judge(cmd, [...wanted.facts.filter(f => !found.facts.includes(f)).map(f => `missing ${f}`), ...found.facts.filter(f => !wanted.facts.includes(f)).map(f => `unexpected ${f}`)], shouldFail);
  }

  #compareTable(cmd: string, table: string, expected: readonly TextRow[], shouldFail: boolean): void {
    if (this.#labelsMoved && table === 'services' && expected.length === 0) {
      return void this.skipped.push('a node whose labels changed: upstream looks again when the service changes, here at once');
    }
    const { differences, skipped } = compareTables(table, this.#world, expected);
    this.skipped.push(...skipped);
    this.#judge(cmd, differences, shouldFail);
  }

  #judge(cmd: string, differences: readonly string[], shouldFail: boolean): void {
    if ((differences.length > 0) === shouldFail) this.passed++;
    else this.failures.push(shouldFail ? `${cmd}: should not hold` : `${cmd}: ${differences.slice(0, 4).join('; ')}`);
  }

  #edit(file: string, change: (text: string) => string): void {
    const text = (this.#files.get(file) ?? []).map(object => stringify(object)).join('---\n');
    this.#files.set(file, parseAllDocuments(change(text)).map(document => document.toJS() as unknown));
  }
}

/** Of the rows that a script puts into upstream's table of node addresses. */
function nodeAddresses(testCase: LbScriptCase): readonly string[] {
  return testCase.steps.flatMap(({ cmd }) => /^db\/insert node-addresses (\S+)/.exec(cmd)?.[1] ?? []).flatMap(file => (testCase.objects[file] ?? []).map(row => (row as { addr: string }).addr));
}

function contents(world: LbWorld) {
  return { maps: Object.entries(world.maps).map(([name, map]) => [name, map.entries()] as const), tables: [...world.maglev.tables] };
}

/** Behind the agent's back, as a crash of an older one would have left it. */
function restore(world: LbWorld, { maps, tables }: ReturnType<typeof contents>): void {
  for (const [name, entries] of maps) {
    const map = world.maps[name as keyof typeof world.maps] as unknown as { update(key: unknown, value: unknown): void };
    for (const [key, value] of entries) map.update(key, value);
  }
  for (const [service, table] of tables) world.maglev.tables.set(service, table);
}
