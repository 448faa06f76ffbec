import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';

/*
 * A stand-in for a collector that takes nothing but what opentelemetry-proto's JSON mapping allows: known fields alone, 64-bit
 * numbers as decimal text, ids in hex, enums as numbers, unique keys of attributes.
 */

export type Json = Record<string, unknown>;

function object(value: unknown, where: string, required: readonly string[], optional: readonly string[] = []): Json {
  assert.ok(typeof value === 'object' && value !== null && !Array.isArray(value), `${where} is an object`);
  const fields = Object.keys(value);
  for (const name of required) assert.ok(fields.includes(name), `${where}.${name} is there`);
  for (const name of fields) assert.ok(required.includes(name) || optional.includes(name), `${where}.${name} is a field`);
  return value as Json;
}

function list(value: unknown, where: string): readonly unknown[] {
  assert.ok(Array.isArray(value), `${where} is a list`);
  return value as readonly unknown[];
}

const uint64 = (value: unknown, where: string) => {
  assert.ok(typeof value === 'string' && /^\d{1,20}$/.test(value) && BigInt(value) < 2n ** 64n, `${where} is a fixed64`);
};

function anyValue(value: unknown, where: string): void {
  const given = object(value, where, [], ['stringValue', 'intValue', 'doubleValue', 'boolValue', 'arrayValue']);
  const [name, ...others] = Object.keys(given);
  assert.ok(name !== undefined && others.length === 0, `${where} has exactly one value`);
  const inner = given[name];
  if (name === 'stringValue') assert.equal(typeof inner, 'string', where);
  else if (name === 'boolValue') assert.equal(typeof inner, 'boolean', where);
  else if (name === 'doubleValue') assert.equal(typeof inner, 'number', where);
  else if (name === 'intValue') assert.ok(typeof inner === 'string' && /^-?\d+$/.test(inner) && BigInt.asIntN(64, BigInt(inner)) === BigInt(inner), `${where} is an int64`);
  else for (const [i, each] of list(object(inner, where, ['values'])['values'], where).entries()) anyValue(each, `${where}[${i}]`);
}

function keyValues(value: unknown, where: string): void {
  const keys = list(value, where).map((entry, i) => {
    const { key, value: inner } = object(entry, `${where}[${i}]`, ['key', 'value']);
    assert.ok(typeof key === 'string' && key !== '');
    anyValue(inner, `${where}[${i}].value`);
    return key;
  });
  assert.equal(new Set(keys).size, keys.length, `${where}: keys are unique`);
}

export function checkRecord(value: unknown, where: string): Json {
  const record = object(value, where, ['timeUnixNano', 'observedTimeUnixNano', 'severityNumber', 'severityText', 'body', 'attributes', 'eventName'], ['traceId', 'spanId', 'flags', 'droppedAttributesCount']);
  uint64(record['timeUnixNano'], `${where}.timeUnixNano`);
  uint64(record['observedTimeUnixNano'], `${where}.observedTimeUnixNano`);
  assert.ok(Number.isInteger(record['severityNumber']) && Number(record['severityNumber']) >= 1 && Number(record['severityNumber']) <= 24);
  anyValue(record['body'], `${where}.body`);
  keyValues(record['attributes'], `${where}.attributes`);
  if (record['traceId'] !== undefined) assert.match(String(record['traceId']), /^[0-9a-f]{32}$/);
  return record;
}

/** ExportLogsServiceRequest → its records. */
function checkRequest(value: unknown): Json[] {
  return list(object(value, 'request', ['resourceLogs'])['resourceLogs'], 'resourceLogs').flatMap((entry, i) => {
    const { resource, scopeLogs } = object(entry, `resourceLogs[${i}]`, ['resource', 'scopeLogs'], ['schemaUrl']);
    keyValues(object(resource, 'resource', ['attributes'])['attributes'], 'resource.attributes');
    return list(scopeLogs, 'scopeLogs').flatMap((logs, j) => {
      const { scope, logRecords } = object(logs, `scopeLogs[${j}]`, ['scope', 'logRecords'], ['schemaUrl']);
      const { name, version } = object(scope, 'scope', ['name', 'version']);
      assert.ok(typeof name === 'string' && typeof version === 'string');
      return list(logRecords, 'logRecords').map((record, k) => checkRecord(record, `logRecords[${k}]`));
    });
  });
}

export class Collector {
  readonly records: Json[] = [];
  readonly problems: unknown[] = [];
  requests = 0;
  /** What to say instead of 200, one answer a request. */
  readonly answers: { readonly status: number; readonly body?: object; readonly headers?: Record<string, string> }[] = [];
  #server: Server | undefined;

  /** Returns where it listens. */
  async start(host = '127.0.0.1'): Promise<string> {
    this.#server = createServer((request, response) => {
      void bodyOf(request).then(body => {
        this.requests++;
        const answer = this.answers.shift() ?? { status: 200, body: {} };
        if (answer.status === 200) {
          try {
            assert.equal(request.method, 'POST');
            assert.equal(request.url, '/v1/logs');
            assert.equal(request.headers['content-type'], 'application/json');
            this.records.push(...checkRequest(JSON.parse(body)));
          } catch (error) {
            this.problems.push(error);
          }
        }
        response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(JSON.stringify(answer.body ?? {}));
      });
    });
    await new Promise<void>(resolve => this.#server!.listen(0, host, resolve));
    return `http://${host}:${(this.#server!.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise(resolve => this.#server?.close(resolve));
  }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  return (request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString('utf8');
}

/** Key → its value, of a record. */
export function attributesOf(record: Json): Readonly<Record<string, unknown>> {
  return Object.fromEntries((record['attributes'] as { key: string; value: Record<string, unknown> }[]).map(({ key, value }) => [key, Object.values(value)[0]]));
}
