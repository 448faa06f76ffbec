/** The files of configMap, secret, downwardAPI and projected volumes. Pure but for the lookups it is given. */
import { ConfigError, fieldValue, resourceValue } from './env.ts';
import type { PodFacts } from './env.ts';
import type { Data, ObjectSource, Token, TokenWish } from './objects.ts';
import type { ConfigMapSource, DownwardSource, KeyToPath, ProjectedSource, SecretSource, Volume } from './types.ts';

export interface PayloadFile {
  readonly content: Buffer;
  readonly mode: number;
}

/** Path in the volume → file. */
export type Payload = ReadonlyMap<string, PayloadFile>;

export type Lookup = Pick<ObjectSource, 'configMap' | 'secret'> & { token(wish: TokenWish): Promise<Token | undefined> };

export interface PayloadContext {
  readonly facts: PodFacts;
  readonly lookup: Lookup;
}

/** Undefined when the volume is not of these kinds. Throws ConfigError for what is missing and not optional. */
export async function payloadOf(volume: Volume, context: PayloadContext): Promise<Payload | undefined> {
  if (volume.configMap) return new Map(await configMapFiles(volume.configMap, context, volume.configMap.defaultMode));
  if (volume.secret) return new Map(await secretFiles(volume.secret, context, volume.secret.defaultMode));
  if (volume.downwardAPI) return new Map(downwardFiles(volume.downwardAPI, context.facts, volume.downwardAPI.defaultMode));
  if (!volume.projected) return undefined;
  const files: [string, PayloadFile][] = [];
  for (const source of volume.projected.sources ?? []) files.push(...(await projectedFiles(source, context, volume.projected.defaultMode)));
  return new Map(files);
}

/** What the service-account admission of a full API server adds to every pod; here the kubelet sees to it when nobody did. */
export function defaultTokenVolume(): Volume {
  return {
    name: 'kube-api-access',
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { path: 'token', expirationSeconds: 3607 } },
        { configMap: { name: 'kube-root-ca.crt', optional: true, items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
}

export const tokenMountPath = '/var/run/secrets/kubernetes.io/serviceaccount';

async function projectedFiles(source: ProjectedSource, context: PayloadContext, mode: number | undefined): Promise<[string, PayloadFile][]> {
  if (source.configMap) return configMapFiles(source.configMap, context, mode);
  if (source.secret) return secretFiles({ ...source.secret, secretName: source.secret.name ?? '' }, context, mode);
  if (source.downwardAPI) return downwardFiles(source.downwardAPI, context.facts, mode);
  if (!source.serviceAccountToken) return [];
  const { pod } = context.facts;
  const token = await context.lookup.token({
    namespace: pod.metadata.namespace ?? 'default',
    serviceAccount: pod.spec.serviceAccountName ?? 'default',
    audience: source.serviceAccountToken.audience,
    expirationSeconds: source.serviceAccountToken.expirationSeconds ?? 3600,
    pod: { name: pod.metadata.name, uid: pod.metadata.uid ?? '' },
  });
  return token ? [[checkedPath(source.serviceAccountToken.path), { content: Buffer.from(token.token), mode: mode ?? 0o644 }]] : [];
}

async function configMapFiles(source: ConfigMapSource, { facts, lookup }: PayloadContext, mode: number | undefined): Promise<[string, PayloadFile][]> {
  const name = source.name ?? '';
  return keyedFiles(await lookup.configMap(facts.pod.metadata.namespace ?? 'default', name), `configmap "${name}"`, source, mode);
}

async function secretFiles(source: SecretSource, { facts, lookup }: PayloadContext, mode: number | undefined): Promise<[string, PayloadFile][]> {
  const name = source.secretName ?? '';
  return keyedFiles(await lookup.secret(facts.pod.metadata.namespace ?? 'default', name), `secret "${name}"`, source, mode);
}

function keyedFiles(
  data: Data | undefined, what: string, source: { readonly items?: readonly KeyToPath[]; readonly optional?: boolean }, mode = 0o644,
): [string, PayloadFile][] {
  if (!data) {
    if (source.optional) return [];
    throw new ConfigError(`${what} not found`);
  }
  const items = source.items ?? Object.keys(data).map(key => ({ key, path: key }));
  return items.flatMap((item): [string, PayloadFile][] => {
    const content = data[item.key];
    if (content) return [[checkedPath(item.path), { content, mode: ('mode' in item ? item.mode : undefined) ?? mode }]];
    if (source.optional) return [];
    throw new ConfigError(`${what} has no key "${item.key}"`);
  });
}

function downwardFiles(source: DownwardSource, facts: PodFacts, mode = 0o644): [string, PayloadFile][] {
  return (source.items ?? []).map(item => {
    const container = facts.pod.spec.containers.find(c => c.name === item.resourceFieldRef?.containerName) ?? facts.pod.spec.containers[0]!;
    const text = item.fieldRef ? fieldValue(item.fieldRef.fieldPath, facts) : item.resourceFieldRef ? resourceValue(item.resourceFieldRef, container, facts) : '';
    return [checkedPath(item.path), { content: Buffer.from(text), mode: item.mode ?? mode }];
  });
}

/** A path that stays in the volume. */
function checkedPath(path: string): string {
  const parts = path.split('/');
  if (path === '' || path.startsWith('/') || parts.some(p => p === '..' || p === '.' || p === '') || parts[0]!.startsWith('..')) {
    throw new ConfigError(`path "${path}" must be relative and stay in its volume`);
  }
  return path;
}
