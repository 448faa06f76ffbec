/**
 * Unit tests for policies: a cluster, policies, expectations (docs/policy/test.md describes the format). Reading a
 * file of tests and running it are apart, because files that it names are read by the caller.
 */
import { CirriError } from '../std/errors.ts';
import type { RuleInfo } from './compile.ts';
import { connect, stepAt } from './connection.ts';
import type { Connection, Leg, LegVerdict } from './connection.ts';
import { portText, resolveEnd, resolvePort } from './ends.ts';
import { FieldReader, join } from './fields.ts';
import type { Fields } from './fields.ts';
import { readHttpRequest, readKafkaRequest } from './request-text.ts';
import type { L7Request } from './requests.ts';
import type { ScenarioObject } from './scenario.ts';
import type { World } from './world.ts';

export interface TestFile {
  readonly name: string;
  /** Files and folders with objects, as written. */
  readonly files: readonly string[];
  /** Objects that stand in the file itself, with their path in it. */
  readonly objects: readonly { readonly object: ScenarioObject; readonly path: string }[];
  readonly namespace: string;
  readonly clusterName: string | undefined;
  readonly cases: readonly TestCase[];
}

/** One question; a test with several ends or ports is several cases. */
export interface TestCase {
  readonly name: string;
  /** `tests[2]`. */
  readonly path: string;
  readonly from: string;
  readonly to: string;
  readonly port: string | undefined;
  readonly protocol: string | undefined;
  /** What is said in the connection, where rules read it. */
  readonly request: L7Request | undefined;
  /** What is in audit passes: it is `allow` too. */
  readonly expect: LegVerdict;
  /** The policy that must decide: `demo/web` or `CiliumNetworkPolicy/demo/web`, perhaps with `#spec.ingress[0]`. */
  readonly by: string | undefined;
}

export interface FormatError { readonly path: string; readonly message: string; readonly mend: string }

export function readTestFile(value: unknown, fallbackName: string): { readonly file?: TestFile; readonly errors: readonly FormatError[] } {
  const reader = new FieldReader();
  const fields = reader.object(value, '', ['name', 'cluster', 'policies', 'tests', 'namespace', 'clusterName']);
  if (!fields) return { errors: [{ path: '', message: 'a file of tests is a mapping', mend: 'give cluster, policies and tests' }] };
  const cluster = readCluster(reader, fields['cluster']);
  const policies = readPolicies(reader, fields['policies']);
  const list = reader.list(fields['tests'], 'tests') ?? [];
  const cases = list.flatMap((test, i) => readTest(reader, test, `tests[${i}]`));
  if (list.length === 0) reader.fail('tests', 'there are no tests', 'list at least one, with from, to, port and expect');
  if (reader.errors.length > 0) return { errors: reader.errors };
  return {
    errors: [],
    file: {
      name: reader.string(fields['name'], 'name') ?? fallbackName, namespace: reader.string(fields['namespace'], 'namespace') ?? 'default',
      clusterName: reader.string(fields['clusterName'], 'clusterName'),
      files: [...cluster.files, ...policies.files], objects: [...cluster.objects, ...policies.objects], cases,
    },
  };
}

type Sources = Pick<TestFile, 'files' | 'objects'>;

/** Names of files, or short forms of objects. */
function readCluster(reader: FieldReader, value: unknown): Sources {
  if (typeof value === 'string') return { files: [value], objects: [] };
  if (Array.isArray(value)) return readPolicies(reader, value, 'cluster');
  const fields = reader.object(value, 'cluster', ['files', 'namespaces', 'pods', 'services', 'objects']) ?? {};
  const each = (name: string, make: (item: Fields, path: string) => ScenarioObject) => (reader.list(fields[name], `cluster.${name}`) ?? []).flatMap((item, i) => {
    const path = `cluster.${name}[${i}]`;
    const known = reader.object(typeof item === 'string' ? { name: item } : item, path, shortForms[name]!);
    if (!known || !reader.string(known['name'], `${path}.name`)) return reader.fail(`${path}.name`, 'a name is missing', 'write name: …') ?? [];
    return [{ object: make(known, path), path }];
  });
  const objects = readPolicies(reader, fields['objects'], 'cluster.objects');
  return {
    files: [...reader.strings(fields['files'], 'cluster.files') ?? [], ...objects.files],
    objects: [...each('namespaces', namespaceObject), ...each('pods', podObject), ...each('services', serviceObject), ...objects.objects],
  };
}

const shortForms: Readonly<Record<string, readonly string[]>> = {
  namespaces: ['name', 'labels'], pods: ['name', 'namespace', 'labels', 'ports', 'ip', 'node', 'serviceAccount'], services: ['name', 'namespace', 'labels', 'selector', 'ports'],
};

function namespaceObject({ name, labels }: Fields): ScenarioObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function podObject({ name, namespace, labels, ports, ip, node, serviceAccount }: Fields): ScenarioObject {
  const list = Array.isArray(ports) ? ports : [];
  const container = { name: 'main', ports: list.map(port => (typeof port === 'number' ? { containerPort: port } : { containerPort: (port as Fields)['port'], ...port as object })) };
  return {
    apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace, labels },
    spec: { containers: [container], nodeName: node, serviceAccountName: serviceAccount }, ...(ip !== undefined && { status: { podIP: ip } }),
  };
}

function serviceObject({ name, namespace, labels, selector, ports }: Fields): ScenarioObject {
  const list = Array.isArray(ports) ? ports : [];
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace, labels }, spec: { selector, ports: list.map(port => (typeof port === 'number' ? { port } : port as object)) } };
}

/** A file's name, `{file: …}`, or an object. */
function readPolicies(reader: FieldReader, value: unknown, at = 'policies'): Sources {
  const files: string[] = [];
  const objects: { object: ScenarioObject; path: string }[] = [];
  for (const [i, item] of (typeof value === 'string' ? [value] : reader.list(value, at) ?? []).entries()) {
    const path = `${at}[${i}]`;
    const fields = item as Fields | null;
    if (typeof item === 'string') files.push(item);
    else if (typeof fields?.['file'] === 'string') files.push(fields['file']);
    else if (typeof fields?.['kind'] === 'string') objects.push({ object: fields, path });
    else reader.fail(path, 'is neither the name of a file nor an object', 'write a path, or an object with kind and metadata');
  }
  return { files, objects };
}

function readTest(reader: FieldReader, value: unknown, path: string): readonly TestCase[] {
  const fields = reader.object(value, path, ['name', 'from', 'to', 'port', 'ports', 'protocol', 'http', 'headers', 'kafka', 'dns', 'serverName', 'expect', 'by']);
  if (!fields) return reader.fail(path, 'must be a mapping', 'give from, to, port and expect') ?? [];
  const from = ends(reader, fields['from'], join(path, 'from'));
  const to = ends(reader, fields['to'], join(path, 'to'));
  const ports = portList(reader, fields, path);
  const request = readRequest(reader, fields, path);
  const expect = reader.oneOf(fields['expect'], join(path, 'expect'), ['allow', 'deny', 'audit']);
  if (fields['expect'] === undefined) reader.fail(join(path, 'expect'), 'what is expected?', 'allow, deny or audit');
  const [name, protocol, by] = ['name', 'protocol', 'by'].map(field => reader.string(fields[field], join(path, field)));
  if (expect === undefined) return [];
  return from.flatMap(source => to.flatMap(destination => ports.map(port => ({
    name: caseName(name, source, destination, port ?? protocol ?? '', expect, from.length * to.length * ports.length > 1),
    path, from: source, to: destination, port, protocol, request, expect, by,
  }))));
}

const requestFields = ['http', 'kafka', 'dns', 'serverName'] as const;

/** `http: GET /items`, `headers: ["X-Token: yes"]`, `kafka: produce topic=orders`, `dns: api.example.com`, `serverName: …`. */
function readRequest(reader: FieldReader, fields: Fields, path: string): L7Request | undefined {
  const given = requestFields.filter(field => fields[field] !== undefined);
  if (given.length > 1) return reader.fail(path, `${given.join(' and ')} are different requests`, 'write one test for each');
  const headers = reader.strings(fields['headers'], join(path, 'headers')) ?? [];
  const [field] = given;
  if (headers.length > 0 && field !== 'http') return reader.fail(join(path, 'headers'), 'headers are of an HTTP request', "add http: 'GET /path'");
  const text = field && reader.string(fields[field], join(path, field));
  if (field === undefined || text === undefined) return undefined;
  try {
    if (field === 'http') return { http: readHttpRequest(text, headers) };
    if (field === 'kafka') return { kafka: readKafkaRequest(text) };
    return field === 'dns' ? { dns: text } : { serverName: text };
  } catch (error) {
    if (!(error instanceof CirriError)) throw error;
    return reader.fail(join(path, field), error.message, error.mend ?? 'see docs/policy/test.md');
  }
}

function ends(reader: FieldReader, value: unknown, path: string): readonly string[] {
  const list = typeof value === 'string' ? [value] : reader.strings(value, path) ?? [];
  if (list.length === 0) reader.fail(path, 'names nobody', 'NS/POD, NS/WORKLOAD, "service NS/NAME", an address, a prefix or an entity');
  return list;
}

function portList(reader: FieldReader, fields: Fields, path: string): readonly (string | undefined)[] {
  const many = reader.list(fields['ports'], join(path, 'ports'));
  const all = many ?? (fields['port'] === undefined ? [] : [fields['port']]);
  if (all.length === 0) return [undefined];
  return all.flatMap((port, i) => (typeof port === 'number' || typeof port === 'string' ? [String(port)] : reader.fail(`${path}.ports[${i}]`, 'must be a port', '80, "53/UDP" or a name') ?? []));
}

function caseName(name: string | undefined, from: string, to: string, port: string, expect: string, several: boolean): string {
  const question = `${from} → ${to} ${port}`.trim();
  return name === undefined ? `${question}: ${expect}` : several ? `${name} (${question})` : name;
}

// ---- running ----

export interface CaseOutcome {
  readonly test: TestCase;
  readonly passed: boolean;
  /** What was found instead, one line each: verdict, deciding rules with places. */
  readonly details: readonly string[];
}

export function runTestCase(world: World, test: TestCase, namespace: string): CaseOutcome {
  let connection: Connection;
  try {
    const to = resolveEnd(world, test.to, namespace);
    connection = connect(world, resolveEnd(world, test.from, namespace), to, resolvePort(to, test.port, test.protocol), test.request);
  } catch (error) {
    return { test, passed: false, details: [`cannot be asked: ${error instanceof Error ? error.message : String(error)}`] };
  }
  const wrong = connection.legs.filter(leg => !meets(leg, test.expect));
  const details = wrong.flatMap(leg => [
    `expected ${test.expect}, got ${leg.verdict}: ${leg.from.text} → ${leg.to.text} ${portText(leg)}`,
    ...leg.steps.filter(step => test.expect !== 'allow' || step.verdict === 'deny').map(step => `${step.direction} of ${stepAt(step)}: ${step.rule.because}${step.place ? ` (${step.place})` : ''}${step.refusal === undefined ? '' : `; refused: ${step.refusal}`}`),
  ]);
  const by = wrong.length === 0 && test.by !== undefined ? notDecidedBy(connection, test.by, test.expect) : [];
  return { test, passed: details.length + by.length === 0, details: [...details, ...by] };
}

function meets({ verdict }: Leg, expect: LegVerdict): boolean {
  return verdict === expect || (expect === 'allow' && verdict === 'audit');
}

/** A denial is decided by the end that denies (for a default denial, by the policies that closed it), an allowance by each rule that allows. */
function notDecidedBy(connection: Connection, by: string, expect: LegVerdict): readonly string[] {
  const [policy, path] = by.split('#') as [string, string?];
  return connection.legs.flatMap(leg => {
    const rules = leg.steps.filter(step => step.verdict === expect || (expect === 'allow' && step.verdict === 'audit')).map(step => step.rule);
    const found = rules.some(rule => (path === undefined || rule.path === path) && policiesOf(rule).some(name => name === policy || name.endsWith(`/${policy}`)));
    return found ? [] : [`expected ${policy}${path === undefined ? '' : ` ${path}`} to decide, but it was: ${rules.map(r => r.because).join('; ') || 'nobody'}`];
  });
}

/** `CiliumNetworkPolicy/shop/web`, `CiliumClusterwideNetworkPolicy/base`. */
function policiesOf(rule: RuleInfo): readonly string[] {
  if (rule.kind !== 'default') return [`${rule.kind}/${rule.namespace === undefined ? '' : `${rule.namespace}/`}${rule.name}`];
  const closing = /^default\/deny\/[a-z]+\/(.*)$/.exec(rule.address)?.[1];
  return (closing ?? '').split(',').map(text => text.replace(' ', '/'));
}
