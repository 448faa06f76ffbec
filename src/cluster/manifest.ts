import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LineCounter, parseAllDocuments, type Document } from 'yaml';
import type { KubeClient } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { pathOf } from '../kube/resources.ts';
import type { KubeObject } from '../kube/types.ts';
import { CirriError } from '../std/errors.ts';
import type { Discovery, DiscoveredResource } from './discovery.ts';

/** One object of a file, with the way back to its lines. */
export interface ManifestDocument {
  readonly file: string;
  readonly object: KubeObject;
  /** Line of a field given as the API names it (`spec.ingress[0].toPorts[0]`), or of the nearest one above it. */
  lineOf(field: string): number;
}

/** Reads files, folders (*.yaml, *.yml, *.json, in order of name) and `-` (standard input). Lists are taken apart. */
export function readManifests(sources: readonly string[], readStdin: () => string = readStandardInput): ManifestDocument[] {
  return sources.flatMap(source => {
    if (source === '-') return parseManifest('-', readStdin());
    let names: string[];
    try {
      names = statSync(source).isDirectory()
        ? readdirSync(source).filter(name => /\.(ya?ml|json)$/.test(name)).sort().map(name => join(source, name))
        : [source];
    } catch (error) {
      throw new CirriError('ERR_MANIFEST', `${source} cannot be read`, { cause: error });
    }
    if (names.length === 0) throw new CirriError('ERR_MANIFEST', `${source} holds no .yaml, .yml or .json file`);
    return names.flatMap(name => parseManifest(name, readFileSync(name, 'utf8')));
  });
}

/** Parses one text of any number of documents. Throws CirriError with `where` = FILE:LINE. */
export function parseManifest(file: string, text: string): ManifestDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true });
  if ('empty' in documents) return [];
  return documents.flatMap(document => {
    const [error] = document.errors;
    if (error) {
      throw new CirriError('ERR_MANIFEST', error.message.split('\n')[0]!.replace(/ at line \d+, column \d+:?$/, ''), {
        where: `${file}:${lines.linePos(error.pos[0]).line}`,
      });
    }
    const value: unknown = document.toJS();
    if (value === null || value === undefined) return [];
    return objectsOf(file, value, document, lines);
  });
}

function objectsOf(file: string, value: unknown, document: Document, lines: LineCounter): ManifestDocument[] {
  const lineOf = (prefix: readonly (string | number)[]) => (field: string) => lineOfPath(document, lines, [...prefix, ...fieldPath(field)]);
  const items = (value as { items?: unknown }).items;
  const isList = String((value as { kind?: unknown }).kind ?? '').endsWith('List') && Array.isArray(items);
  const objects = isList ? (items as unknown[]).map((item, i) => [item, ['items', i]] as const) : [[value, []] as const];
  return objects.map(([object, prefix]) => {
    const entry = { file, object: object as KubeObject, lineOf: lineOf(prefix) };
    for (const field of ['apiVersion', 'kind'] as const) {
      if (typeof entry.object?.[field] !== 'string') throw manifestError(entry, '', `the object has no ${field}`);
    }
    if (typeof entry.object.metadata?.name !== 'string') throw manifestError(entry, 'metadata', 'the object has no metadata.name');
    return entry;
  });
}

/** `spec.ports[0].port`, `spec.matchLabels[a.b/c]` → the steps of the path. */
export function fieldPath(field: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, dotted, bracketed] of field.matchAll(/([^.[\]]+)|\[([^\]]*)\]/g)) {
    if (dotted !== undefined) steps.push(dotted);
    else if (bracketed !== undefined) steps.push(/^\d+$/.test(bracketed) ? Number(bracketed) : bracketed.replace(/^["']|["']$/g, ''));
  }
  return steps;
}

function lineOfPath(document: Document, lines: LineCounter, path: readonly (string | number)[]): number {
  for (let length = path.length; length >= 0; length--) {
    const at = path.slice(0, length);
    const node = (length === 0 ? document.contents : document.getIn(at, true)) as { range?: readonly number[] | null } | undefined | null;
    const start = node?.range?.[0];
    if (start === undefined) continue;
    // A mapping or list under a key begins on the next line: the key's own line is what a reader looks for.
    const parent = length === 0 ? undefined : (document.getIn(at.slice(0, -1), true) as { items?: readonly { key?: { value?: unknown; range?: readonly number[] | null } }[] } | undefined);
    const key = parent?.items?.find?.(pair => pair?.key?.value === at.at(-1))?.key?.range?.[0];
    return lines.linePos(key ?? start).line;
  }
  return 1;
}

export type ApplyAction = 'created' | 'configured' | 'unchanged';

export interface Applied {
  readonly document: ManifestDocument;
  readonly resource: DiscoveredResource;
  readonly action: ApplyAction;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Namespace of objects that name none. */
  readonly namespace: string;
  readonly dryRun?: boolean;
  /** Set by the caller that has tried them already, or does not need to: built-in manifests. */
  readonly skipValidation?: boolean;
}

/**
 * Server-side apply of all documents: first all of them as a trial, so that one bad document changes nothing, then in order.
 * Throws CirriError with `where` = FILE:LINE and the field in the message.
 */
export async function applyManifests(
  documents: readonly ManifestDocument[], options: ApplyOptions, dependencies: { readonly client: KubeClient; readonly discovery: Discovery },
): Promise<Applied[]> {
  const { client, discovery } = dependencies;
  if (!options.skipValidation) {
    for (const document of documents) {
      const resource = await resourceOf(document, documents, discovery);
      if (resource) await applyOne(document, resource, { ...options, dryRun: true }, client, documents);
    }
  }
  if (options.dryRun) return [];
  const applied: Applied[] = [];
  for (const document of documents) {
    const resource = await resourceOf(document, [], discovery);
    applied.push({ document, resource: resource!, action: await applyOne(document, resource!, options, client, []) });
  }
  return applied;
}

async function applyOne(
  document: ManifestDocument, resource: DiscoveredResource, options: ApplyOptions, client: KubeClient, others: readonly ManifestDocument[],
): Promise<ApplyAction> {
  const { object } = document;
  const namespace = resource.namespaced ? (object.metadata.namespace ?? options.namespace) : undefined;
  const query = `?fieldManager=${encodeURIComponent(options.fieldManager)}&force=true&fieldValidation=Strict${options.dryRun ? '&dryRun=All' : ''}`;
  try {
    const before = options.dryRun ? undefined : await client.get(resource, object.metadata.name, namespace);
    const body = namespace === undefined ? object : { ...object, metadata: { ...object.metadata, namespace } };
    const after = (await client.raw('PATCH', pathOf(resource, object.metadata.name, namespace) + query, body, {
      contentType: 'application/apply-patch+yaml',
    })) as KubeObject;
    return before === undefined ? 'created' : before.metadata.resourceVersion === after.metadata.resourceVersion ? 'unchanged' : 'configured';
  } catch (error) {
    const promised = others.some(other => other.object.kind === 'Namespace' && other.object.metadata.name === namespace);
    if (promised && error instanceof KubeError && error.status === 404) return 'created';
    throw describeRefusal(document, error);
  }
}

/** Undefined when the kind is not known yet but a CustomResourceDefinition among `others` brings it. */
async function resourceOf(document: ManifestDocument, others: readonly ManifestDocument[], discovery: Discovery): Promise<DiscoveredResource | undefined> {
  const { apiVersion, kind } = document.object;
  const found = await discovery.forKind(apiVersion, kind);
  if (found) return found;
  const group = apiVersion.includes('/') ? apiVersion.split('/')[0] : '';
  const brought = others.some(({ object }) => {
    const spec = object.spec as { group?: string; names?: { kind?: string } } | undefined;
    return object.kind === 'CustomResourceDefinition' && spec?.group === group && spec?.names?.kind === kind;
  });
  if (brought) return undefined;
  throw manifestError(document, 'kind', `the cluster knows no kind "${kind}" in ${apiVersion}`, 'see what it knows: cirri get crd, kubectl api-resources');
}

/** The API's refusal with the line of the field it speaks of. */
function describeRefusal(document: ManifestDocument, error: unknown): unknown {
  if (!(error instanceof KubeError) || ![400, 403, 404, 409, 422].includes(error.status)) return error;
  const message = error.message.replace(/^PATCH \S+: /, '');
  const field = /(?:is invalid: \[?|unknown field ")((?:metadata|spec|data|status)[\w.[\]/-]*)/.exec(message)?.[1] ?? /\b((?:spec|metadata)(?:\.[\w-]+|\[\d+\])+)/.exec(message)?.[1] ?? '';
  return manifestError(document, field, message, unknownFieldMend(document, message, field), error);
}

/** For a field that the kind does not have: where to see those that it has. */
function unknownFieldMend(document: ManifestDocument, message: string, field: string): string | undefined {
  if (!message.includes('unknown field "')) return undefined;
  const parent = field.replace(/\[\d+\]/g, '').split('.').slice(0, -1);
  return `remove it or mend its spelling; the fields there: kubectl explain ${[document.object.kind.toLowerCase(), ...parent].join('.')}`;
}

function manifestError(document: ManifestDocument, field: string, message: string, mend?: string, cause?: unknown): CirriError {
  const { object, file } = document;
  const name = object?.kind && object.metadata?.name ? `${object.kind} ${object.metadata.name}: ` : '';
  const text = message.startsWith(`${object?.kind}`) ? message : name + message;
  // The cause's message is the same sentence; its stack is of no use to who wrote the file.
  void cause;
  return new CirriError('ERR_MANIFEST', text, { where: `${file}:${document.lineOf(field)}`, ...(mend !== undefined && { mend }) });
}

/** Opened anew: the descriptor that a shell hands over may be non-blocking, and then reading a slow pipe fails with EAGAIN. */
function readStandardInput(): string {
  try {
    return readFileSync('/dev/stdin', 'utf8');
  } catch (error) {
    // A socket cannot be opened by its path.
    if ((error as { code?: string }).code !== 'ENXIO') throw error;
    return readFileSync(0, 'utf8');
  }
}
