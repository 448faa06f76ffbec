import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { statePaths } from '../model/cluster.ts';
import { defaultSettings } from '../model/settings.ts';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { silentLogger } from '../std/log.ts';
import { clusterDefinitions } from './crds/definitions.ts';
import type { JsonObject, KubeObject } from './object.ts';
import { validatePolicyObject } from './policy-admission.ts';
import { startApiServer } from './server.ts';
import type { ApiServer } from './server.ts';
import type { SemanticValidation } from './verbs/context.ts';

/** A record for servers under test: any free port, and an underlay that no machine has. */
export const testRecord: ClusterRecord = {
  instance: 'apitest', version: '0', nodes: [], routing: 'tunnel', apiserver: { port: 0 },
  underlay: { bridge: 'apitest0', prefix4: '192.0.2.0/24', prefix6: '2001:db8::/64', host4: '192.0.2.1', host6: '2001:db8::1' },
  serviceCidr4: '10.96.0.0/16', serviceCidr6: 'fd00:10:96::/112', loadBalancerCidr4: '198.51.100.0/24', loadBalancerCidr6: '2001:db8:1::/112', clusterCidr4: '10.244.0.0/16', clusterCidr6: 'fd00:10:244::/56',
  dnsIp4: '10.96.0.10', dnsIp6: 'fd00:10:96::a', clusterDomain: 'cluster.local', clusterName: 'default', policyMode: 'default', audit: false, settings: defaultSettings,
};

export interface Answer { readonly code: number; readonly headers: IncomingMessage['headers']; readonly text: string; readonly body: JsonObject }

/** A real server in a folder of its own, asked through its unix socket. */
export class TestServer implements AsyncDisposable {
  readonly paths: StatePaths;
  server!: ApiServer;
  readonly #validate: SemanticValidation;

  constructor(validate: SemanticValidation = (object, old) => validatePolicyObject(object, 'default', old)) {
    this.paths = statePaths('apitest', mkdtempSync(join(tmpdir(), 'cirri-api-')));
    this.#validate = validate;
  }

  static async start(validate?: SemanticValidation): Promise<TestServer> {
    const test = new TestServer(validate);
    await test.open();
    return test;
  }

  async open(): Promise<void> {
    this.server = await startApiServer({ record: testRecord, paths: this.paths, definitions: clusterDefinitions }, { validate: this.#validate, log: silentLogger });
  }

  async restart(): Promise<void> {
    await this.server.close();
    await this.open();
  }

  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const payload = body === undefined ? undefined : typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const response = await this.stream(method, path, payload, headers);
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const isJson = response.headers['content-type']?.includes('json') ?? false;
    return { code: response.statusCode ?? 0, headers: response.headers, text, body: isJson && text !== '' ? (JSON.parse(text) as JsonObject) : {} };
  }

  /** As `call`, and the answer must be a success. */
  async ok(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<KubeObject> {
    const answer = await this.call(method, path, body, headers);
    if (answer.code > 299) throw new Error(`${method} ${path}: ${answer.code} ${answer.text}`);
    return answer.body as KubeObject;
  }

  stream(method: string, path: string, payload?: string | Buffer, headers: Record<string, string> = {}): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.paths.apiserverSocket, method, path, agent: false, headers: {
        'user-agent': 'test/1', ...(payload === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }), ...headers,
      } }, resolve);
      call.on('error', reject);
      call.end(payload);
    });
  }

  /** Watch events as they come. Ends when the consumer stops or the server ends the stream. */
  async *watch(path: string, headers: Record<string, string> = {}): AsyncGenerator<{ type: string; object: KubeObject }> {
    const response = await this.stream('GET', path, undefined, headers);
    let rest = '';
    try {
      for await (const chunk of response) {
        rest += String(chunk);
        const lines = rest.split('\n');
        rest = lines.pop()!;
        for (const line of lines) yield JSON.parse(line) as { type: string; object: KubeObject };
      }
    } finally {
      response.destroy();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    rmSync(this.paths.state, { recursive: true, force: true });
  }
}

/** The first `count` of a stream, or fewer when it ends. */
export async function take<T>(stream: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  if (count === 0) return taken;
  for await (const item of stream) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

export const podNamed = (name: string, more: JsonObject = {}): JsonObject => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec: { containers: [{ name: 'c', image: 'busybox:1', ports: [{ containerPort: 80 }] }], ...more },
});

export const pods = '/api/v1/namespaces/default/pods';
