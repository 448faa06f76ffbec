/** Where policy commands read from: files, the live cluster, or files over the live cluster. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { readManifests } from '../../cluster/manifest.ts';
import type { KubeClient } from '../../kube/client.ts';
import { policyObjects } from '../../kube/policy-objects.ts';
import { resources } from '../../kube/resources.ts';
import { settingsAgainstKernel } from '../../model/settings.ts';
import type { EngineOptions } from '../../policy/compile.ts';
import { isNamespaced, policyKinds } from '../../policy/parse.ts';
import type { PolicyKind } from '../../policy/policy.ts';
import { namedSecrets, readScenario, type Scenario, type ScenarioObject, type ScenarioOptions, type SourcedObject } from '../../policy/scenario.ts';
import { World } from '../../policy/world.ts';
import { CirriError } from '../../std/errors.ts';
import { openContext } from '../context.ts';

export interface SourceFlags {
  readonly filename?: readonly string[];
  readonly live?: boolean;
  readonly namespace: string;
  readonly clusterName?: string;
  readonly output?: string;
}

export function addSourceOptions(command: Command): Command {
  return command
    .option('-f, --filename <file>', 'read objects from a file, a folder or - instead of the cluster (repeat for more)', (value: string, list: readonly string[] = []) => [...list, value])
    .option('--live', 'with -f: the cluster as it is, with the files over it')
    .option('-n, --namespace <ns>', 'namespace of names and objects that give none', 'default')
    .option('--cluster-name <name>', 'name of the cluster in selectors (with -f)')
    .option('-o, --output <format>', 'json or yaml');
}

/** The scenario that the flags name; what cannot be counted is said on stderr. */
export async function loadScenario(flags: SourceFlags, quiet = false): Promise<Scenario> {
  const fromFiles = flags.filename?.length ? sourcedFiles(flags.filename) : undefined;
  const live = fromFiles === undefined || flags.live ? await liveObjects() : undefined;
  const objects = over(live?.objects ?? [], fromFiles ?? [], flags.namespace);
  const scenario = readScenario(objects, { ...live?.options, namespace: flags.namespace, ...(flags.clusterName !== undefined && { clusterName: flags.clusterName }) });
  if (!quiet) warn(scenario);
  return scenario;
}

/** As above, and pods must be there: without them no question about connections has an answer. */
export async function loadWorld(flags: SourceFlags, options: EngineOptions = {}): Promise<World> {
  const scenario = await loadScenario(flags);
  if (scenario.pods.length === 0) {
    throw new CirriError('ERR_NO_PODS', 'there are no pods in what was read', {
      mend: flags.filename?.length ? 'add files with pods or deployments (-f), or take those of the cluster with --live' : 'start some, or read manifests: -f FILE',
    });
  }
  return new World(scenario, options);
}

export function sourcedFiles(files: readonly string[]): SourcedObject[] {
  return readManifests(files.flatMap(withoutTests)).map(({ object, file, lineOf }) => ({ object, place: field => `${file}:${lineOf(field)}` }));
}

/** A folder of manifests may hold the tests of its policies: they are no manifests. */
function withoutTests(path: string): readonly string[] {
  if (path === '-' || !statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
  const names = readdirSync(path).filter(name => /\.(ya?ml|json)$/.test(name)).sort();
  return names.some(isTest) ? names.filter(name => !isTest(name)).map(name => join(path, name)) : [path];
}

function isTest(name: string): boolean {
  return /\.policy-test\.ya?ml$/.test(name);
}

const clusterWideKinds = ['Namespace', 'Node', 'CiliumCIDRGroup'];

/** A file's object takes the place of the cluster's of the same name. */
export function over(below: readonly SourcedObject[], above: readonly SourcedObject[], namespace: string): readonly SourcedObject[] {
  const isClusterWide = ({ kind }: ScenarioObject) => clusterWideKinds.includes(String(kind)) || (policyKinds.includes(kind as PolicyKind) && !isNamespaced(kind as PolicyKind));
  const key = ({ object }: SourcedObject) => `${String(object.kind)}/${isClusterWide(object) ? '' : String(object.metadata?.namespace ?? namespace)}/${String(object.metadata?.name)}`;
  const replaced = new Set(above.map(key));
  return [...below.filter(source => !replaced.has(key(source))), ...above];
}

export interface LiveObjects {
  readonly objects: readonly SourcedObject[];
  /** As the cluster was made. */
  readonly options: Required<Pick<ScenarioOptions, 'clusterName' | 'policyMode' | 'audit' | 'httpReader'>> & Pick<ScenarioOptions, 'kernelUnable'>;
}

export async function liveObjects(): Promise<LiveObjects> {
  const { client, record } = openContext();
  const kernelUnable = settingsAgainstKernel(record.settings.l7);
  try {
    const objects = await policyObjects(client);
    const sourced = [...objects, ...await secretsFor(client, objects)].map(object => ({ object, place: () => '' }));
    return { objects: sourced, options: { clusterName: record.clusterName, policyMode: record.policyMode, audit: record.audit, httpReader: record.settings.l7.http, ...(kernelUnable !== undefined && { kernelUnable }) } };
  } finally {
    client.close();
  }
}

/** Only those that policies name; one that cannot be read is missing, as it is to a node. */
async function secretsFor(client: KubeClient, objects: readonly ScenarioObject[]): Promise<readonly ScenarioObject[]> {
  const keys = namedSecrets(readScenario(objects.map(object => ({ object, place: () => '' }))).policies);
  const found = await Promise.all(keys.map(key => {
    const [namespace, name] = key.split('/') as [string, string];
    return client.get(resources.secrets, name, namespace);
  }));
  return found.flatMap(object => (object ? [{ ...object, kind: 'Secret' }] : []));
}

function warn(scenario: Scenario): void {
  const say = (place: string, text: string) => process.stderr.write(`cirri: ${place === '' ? '' : `${place}: `}${text}\n`);
  for (const policy of scenario.policies) {
    for (const error of policy.errors) say(policy.place(error.path), `${policy.address} is invalid and not counted: ${error.path}: ${error.message} → ${error.mend}`);
  }
  for (const { object, place } of scenario.unknownPolicies) say(place('kind'), `${String(object.kind)} ${String(object.metadata?.name)} is of a kind that is not known yet and not counted`);
  const seen = new Map<string, number>();
  for (const { address } of scenario.policies) seen.set(address, (seen.get(address) ?? 0) + 1);
  for (const [address, count] of seen) if (count > 1) say('', `${address} is there ${count} times; the last one counts`);
}
