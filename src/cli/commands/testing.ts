/**
 * A cluster for tests of commands: the real API server, and agents that answer on real sockets what a test tells them.
 * Commands run as a user runs them, in a process of their own.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { TestServer, testRecord } from '../../apiserver/testing.ts';
import { compileQuery, queryFromParams } from '../../flows/query.ts';
import { apiVersionOf, pathOf, resources } from '../../kube/resources.ts';
import type { NodeRecord } from '../../model/cluster.ts';
import type { Flow } from '../../model/flow.ts';

const main = join(import.meta.dirname, '../main.ts');

export interface Ran { readonly status: number | null; readonly stdout: string; readonly stderr: string; json(): never }

export function runCirri(args: readonly string[], env: NodeJS.ProcessEnv, options: { readonly cwd?: string; readonly input?: string } = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [main, ...args], { ...(options.cwd !== undefined && { cwd: options.cwd }), env: { ...process.env, NO_COLOR: '1', ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', status => resolve({ status, stdout, stderr, json: () => JSON.parse(stdout) as never }));
    child.stdin.end(options.input ?? '');
  });
}

/** What the agents of one node say: JSON by path, and flows. */
export interface AgentAnswers {
  readonly flows?: readonly Flow[];
  readonly [path: `/v1/${string}`]: unknown;
}

export class TestCluster implements AsyncDisposable {
  readonly api: TestServer;
  readonly #agents: readonly Server[];

  private constructor(api: TestServer, agents: readonly Server[]) {
    this.api = api;
    this.#agents = agents;
  }

  /** Objects need kind and metadata; each is created through the API, so it must be valid. */
  static async start(objects: readonly object[], agents: Readonly<Record<string, AgentAnswers>>): Promise<TestCluster> {
    const api = await TestServer.start();
    const names = Object.keys(agents);
    writeFileSync(api.paths.clusterJson, JSON.stringify({ ...testRecord, nodes: names.map(nodeRecord) }));
    const servers = await Promise.all(names.map(name => startAgent(api.paths.node(name).agentSocket, agents[name]!)));
    const cluster = new TestCluster(api, servers);
    for (const object of objects) await cluster.create(object);
    return cluster;
  }

  async create(object: object): Promise<void> {
    const { kind, metadata, status } = object as { kind: string; metadata: { namespace?: string; name: string }; status?: unknown };
    const resource = Object.values(resources).find(r => r.kind === kind);
    if (!resource) throw new Error(`no resource for kind ${kind}`);
    const path = pathOf(resource, undefined, metadata.namespace);
    const made = await this.api.ok('POST', path, { apiVersion: apiVersionOf(resource), ...object });
    if (status !== undefined && kind !== 'Namespace') await this.api.ok('PUT', `${path}/${metadata.name}/status`, { ...made, status });
  }

  cirri(...args: readonly string[]): Promise<Ran> {
    return runCirri(args, { CIRRI_INSTANCE: 'apitest', CIRRI_STATE: this.api.paths.state }, { cwd: this.api.paths.state });
  }

  /** A command that stays: its output as it comes, until the caller ends it. */
  follow(...args: readonly string[]): Following {
    const child = spawn(process.execPath, [main, ...args], { cwd: this.api.paths.state, env: { ...process.env, NO_COLOR: '1', CIRRI_INSTANCE: 'apitest', CIRRI_STATE: this.api.paths.state }, stdio: ['ignore', 'pipe', 'inherit'] });
    return new Following(child);
  }

  file(name: string, text: string): string {
    const path = join(this.api.paths.state, name);
    writeFileSync(path, text);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) {
      agent.close();
      agent.closeAllConnections();
    }
    await this.api[Symbol.asyncDispose]();
  }
}

export class Following {
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  #output = '';
  #ended = false;
  #heard = Promise.withResolvers<void>();

  constructor(child: ChildProcessByStdio<null, Readable, null>) {
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#heard.resolve();
      this.#heard = Promise.withResolvers<void>();
    });
    child.on('close', () => {
      this.#ended = true;
      this.#heard.resolve();
    });
  }

  /** Waits until the output has this; the test's own time limit ends a wait in vain. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#output)) {
      if (this.#ended) throw new Error(`the command ended after:\n${this.#output}`);
      await this.#heard.promise;
    }
  }

  /** As Ctrl-C does. Returns the exit code. */
  async interrupt(): Promise<number | null> {
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    return (await closed)[0] as number | null;
  }
}

function nodeRecord(name: string, i: number): NodeRecord {
  const index = i + 1;
  return {
    name, index, underlay4: `192.0.2.${10 + index}`, underlay6: `2001:db8::${10 + index}`, podCidr4: `10.244.${index}.0/24`, podCidr6: `fd00:10:244:${index}::/64`,
    routerIp4: `10.244.${index}.1`, routerIp6: `fd00:10:244:${index}::1`,
  };
}

async function startAgent(socket: string, answers: AgentAnswers): Promise<Server> {
  mkdirSync(dirname(socket), { recursive: true });
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://agent');
    const answer = answers[url.pathname as `/v1/${string}`];
    if (url.pathname === '/v1/flows') {
      const matches = compileQuery(queryFromParams(url.searchParams));
      response.end((answers.flows ?? []).filter(matches).map(flow => `${JSON.stringify(flow)}\n`).join(''));
    } else if (answer === undefined) {
      response.writeHead(404).end();
    } else {
      response.end(JSON.stringify(answer));
    }
  });
  await new Promise<void>((resolve, reject) => server.on('error', reject).listen(socket, resolve));
  return server;
}
