/** The environment of a container and the downward API. Pure: what comes from the API is looked up by the caller's functions. */
import { CirriError } from '../std/errors.ts';
import type { Container, Pod, ResourceFieldRef, StringMap } from './types.ts';

export interface PodFacts {
  readonly pod: Pod;
  readonly podIPs: readonly string[];
  readonly hostIPs: readonly string[];
  readonly nodeName: string;
  readonly capacity: { readonly cpus: number; readonly memoryBytes: number };
}

export interface EnvSources {
  /** Data of a ConfigMap or Secret (decoded), undefined when there is none. */
  configMap(name: string): StringMap | undefined;
  secret(name: string): StringMap | undefined;
}

/** A reference that cannot be followed yet: the container waits in CreateContainerConfigError. */
export class ConfigError extends CirriError {
  constructor(message: string, mend?: string) {
    super('ERR_CONTAINER_CONFIG', message, mend === undefined ? {} : { mend });
  }
}

/** In the order of Kubernetes: defaults, envFrom, env (later ones win and may refer to earlier ones as $(NAME)). */
export function buildEnv(container: Container, facts: PodFacts, sources: EnvSources, defaults: StringMap): Map<string, string> {
  const env = new Map<string, string>(Object.entries(defaults));
  for (const from of container.envFrom ?? []) {
    for (const [key, value] of Object.entries(envFromData(from, sources))) {
      if (/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(key)) env.set((from.prefix ?? '') + key, value);
    }
  }
  for (const entry of container.env ?? []) {
    const value = entry.valueFrom ? referenced(entry.valueFrom, container, facts, sources) : expand(entry.value ?? '', env);
    if (value !== undefined) env.set(entry.name, value);
  }
  return env;
}

/** $(NAME) with what is known; $$(NAME) is a literal $(NAME); an unknown name stays as it is (Kubernetes' expansion rules). */
export function expand(text: string, env: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (whole: string, name: string | undefined) => {
    if (name === undefined) return '$';
    return env.get(name) ?? whole;
  });
}

/** The value of a fieldPath (`metadata.name`, `metadata.labels['app']`, `status.podIP`, `spec.nodeName` …). Throws ConfigError. */
export function fieldValue(path: string, facts: PodFacts): string {
  const { metadata, spec } = facts.pod;
  const keyed = /^metadata\.(labels|annotations)\['([^']*)'\]$/.exec(path);
  if (keyed) return metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2]!] ?? '';
  switch (path) {
    case 'metadata.name': return metadata.name;
    case 'metadata.namespace': return metadata.namespace ?? '';
    case 'metadata.uid': return metadata.uid ?? '';
    case 'metadata.labels': return keyValueLines(metadata.labels);
    case 'metadata.annotations': return keyValueLines(metadata.annotations);
    case 'spec.nodeName': return facts.nodeName;
    case 'spec.serviceAccountName': return spec.serviceAccountName ?? 'default';
    case 'status.hostIP': return facts.hostIPs[0] ?? '';
    case 'status.hostIPs': return facts.hostIPs.join(',');
    case 'status.podIP': return facts.podIPs[0] ?? '';
    case 'status.podIPs': return facts.podIPs.join(',');
    default: throw new ConfigError(`fieldPath "${path}" is not one that a container can ask for`);
  }
}

/** limits.* and requests.* as whole numbers of the divisor, rounded up; a missing limit is the node's capacity. */
export function resourceValue(ref: ResourceFieldRef, container: Container, facts: PodFacts): string {
  const [kind, name] = splitFirst(ref.resource, '.');
  if ((kind !== 'limits' && kind !== 'requests') || !name) throw new ConfigError(`resource "${ref.resource}" must be limits.NAME or requests.NAME`);
  const limit = container.resources?.limits?.[name];
  const set = kind === 'limits' ? limit : container.resources?.requests?.[name] ?? limit;
  const capacity = name === 'cpu' ? facts.capacity.cpus : name === 'memory' ? facts.capacity.memoryBytes : 0;
  const amount = set === undefined ? (kind === 'limits' ? capacity : 0) : parseQuantity(set);
  return String(Math.ceil(amount / parseQuantity(ref.divisor && ref.divisor !== '0' ? ref.divisor : '1') - 1e-9));
}

const suffixes: Readonly<Record<string, number>> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
};

/** A Kubernetes quantity (`500m`, `64Mi`, `1e3`) as a number. */
export function parseQuantity(text: string | number): number {
  const match = /^([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)([a-zA-Z]{0,2})$/.exec(String(text).trim());
  const factor = match ? suffixes[match[2]!] : undefined;
  if (!match || factor === undefined) throw new ConfigError(`"${text}" is not a quantity`, 'write it like 500m, 2, 64Mi or 1G');
  return Number(match[1]) * factor;
}

function envFromData(from: NonNullable<Container['envFrom']>[number], sources: EnvSources): StringMap {
  const ref = from.configMapRef ?? from.secretRef;
  if (!ref) return {};
  const data = from.configMapRef ? sources.configMap(ref.name) : sources.secret(ref.name);
  if (data) return data;
  if (ref.optional) return {};
  throw new ConfigError(`${from.configMapRef ? 'configmap' : 'secret'} "${ref.name}" not found`);
}

function referenced(
  from: NonNullable<NonNullable<Container['env']>[number]['valueFrom']>, container: Container, facts: PodFacts, sources: EnvSources,
): string | undefined {
  if (from.fieldRef) return fieldValue(from.fieldRef.fieldPath, facts);
  if (from.resourceFieldRef) {
    const named = from.resourceFieldRef.containerName;
    const owner = named ? facts.pod.spec.containers.find(c => c.name === named) ?? container : container;
    return resourceValue(from.resourceFieldRef, owner, facts);
  }
  const ref = from.configMapKeyRef ?? from.secretKeyRef;
  if (!ref) return '';
  const kind = from.configMapKeyRef ? 'configmap' : 'secret';
  const data = from.configMapKeyRef ? sources.configMap(ref.name) : sources.secret(ref.name);
  const value = data?.[ref.key];
  if (value !== undefined || ref.optional) return value;
  throw new ConfigError(data ? `couldn't find key ${ref.key} in ${kind} "${ref.name}"` : `${kind} "${ref.name}" not found`);
}

function keyValueLines(map: StringMap | undefined): string {
  return Object.entries(map ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => `${k}=${JSON.stringify(v)}`).join('\n');
}

function splitFirst(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
