/**
 * Calls network plugins as containerd does (CNI 1.0 §3 and §4): the first configuration list of a folder, its plugins in
 * order for ADD and in reverse for DEL, the result of one given to the next.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { backoffMs } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';
import { runProgram } from './process.ts';

export interface NetworkList {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly PluginConfig[];
}

export interface PluginConfig {
  readonly type: string;
  readonly capabilities?: Readonly<Record<string, boolean>>;
  readonly [field: string]: unknown;
}

export interface CniAttachment {
  readonly containerId: string;
  readonly netns: string;
  readonly ifname: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly portMappings?: readonly { readonly hostPort: number; readonly containerPort: number; readonly protocol: string; readonly hostIP?: string }[];
}

export class CniError extends CirriError {
  /** The plugin's code; 11 means "try again later". */
  readonly cniCode: number;

  constructor(message: string, cniCode: number, options: { mend?: string } = {}) {
    super('ERR_CNI', message, options);
    this.cniCode = cniCode;
  }
}

/** CNI 1.0: what is missing will come by itself. */
const tryAgainLater = 11;

/**
 * When a pod's turn that failed is taken again. An agent that is not there yet is there in a second or two, at every start of a node: a
 * pod that waits for it must not wait longer with each time it asked.
 */
export function retryMs(error: unknown, failures: number, random: () => number = Math.random): number {
  const soon = error instanceof CniError && error.cniCode === tryAgainLater;
  return backoffMs(failures, soon ? { baseMs: 100, maxMs: 500, random } : { baseMs: 500, maxMs: 15_000, random });
}

/** The list that a runtime takes: the first file by name. Undefined while there is none (the node is not ready then). */
export function loadNetwork(dir: string): NetworkList | undefined {
  const files = existsSync(dir) ? readdirSync(dir).filter(f => /^[^.].*\.(conflist|conf|json)$/.test(f)).sort() : [];
  if (files.length === 0) return undefined;
  const path = `${dir}/${files[0]}`;
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch (error) {
    throw new CniError(`network configuration ${path} is not JSON: ${(error as Error).message}`, 6);
  }
  const plugins = (Array.isArray(parsed['plugins']) ? parsed['plugins'] : [parsed]) as PluginConfig[];
  if (typeof parsed['name'] !== 'string' || plugins.length === 0 || plugins.some(p => typeof p?.type !== 'string')) {
    throw new CniError(`network configuration ${path} needs a name, and a type for every plugin`, 7);
  }
  return { name: parsed['name'], cniVersion: typeof parsed['cniVersion'] === 'string' ? parsed['cniVersion'] : '0.1.0', plugins };
}

/** Writes our own list into an empty folder: on one machine nobody else may have done it yet. */
export function ensureNetwork(dir: string, cniSocket: string): void {
  mkdirSync(dir, { recursive: true });
  if (loadNetwork(dir)) return;
  const list = { cniVersion: '1.0.0', name: 'cirri', plugins: [{ type: 'cirri-cni', socket: cniSocket }] };
  writeFileSync(`${dir}/05-cirri.conflist`, JSON.stringify(list, null, 2) + '\n');
}

export class Cni {
  readonly #confDir: string;
  readonly #binDirs: readonly string[];
  readonly #timeoutMs: number;

  constructor(options: { readonly confDir: string; readonly binDirs: readonly string[]; readonly timeoutMs?: number }) {
    this.#confDir = options.confDir;
    this.#binDirs = options.binDirs;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /** Undefined when a pod can get a network; else why not. */
  notReady(): string | undefined {
    try {
      const list = loadNetwork(this.#confDir);
      if (!list) return `no network configuration in ${this.#confDir}`;
      for (const plugin of list.plugins) this.#find(plugin.type);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** The result of the last plugin. */
  async add(to: CniAttachment): Promise<unknown> {
    const list = this.#list();
    let result: unknown;
    for (const plugin of list.plugins) result = await this.#call('ADD', list, plugin, to, result);
    return result;
  }

  /** Idempotent by the plugins' own contract. */
  async delete(to: CniAttachment, cached: unknown): Promise<void> {
    const list = this.#list();
    for (const plugin of list.plugins.toReversed()) await this.#call('DEL', list, plugin, to, cached);
  }

  async check(to: CniAttachment, cached: unknown): Promise<void> {
    const list = this.#list();
    for (const plugin of list.plugins) await this.#call('CHECK', list, plugin, to, cached);
  }

  #list(): NetworkList {
    const list = loadNetwork(this.#confDir);
    if (!list) throw new CniError(`no network configuration in ${this.#confDir}`, 11, { mend: 'the agent writes it when it starts: see cirri status' });
    return list;
  }

  #find(type: string): string {
    if (!/^[A-Za-z0-9_.-]+$/.test(type)) throw new CniError(`"${type}" is no plugin name`, 7);
    const found = this.#binDirs.map(dir => `${dir}/${type}`).find(path => existsSync(path));
    if (!found) throw new CniError(`network plugin ${type} is not in ${this.#binDirs.join(':')}`, 5);
    return found;
  }

  async #call(command: string, list: NetworkList, plugin: PluginConfig, to: CniAttachment, previous: unknown): Promise<unknown> {
    const { capabilities, ...rest } = plugin;
    const runtimeConfig = capabilities?.['portMappings'] && to.portMappings?.length ? { runtimeConfig: { portMappings: to.portMappings } } : {};
    const config = { ...rest, ...runtimeConfig, cniVersion: list.cniVersion, name: list.name, ...(previous === undefined || previous === null ? {} : { prevResult: previous }) };
    const done = await runProgram(this.#find(plugin.type), [], {
      input: JSON.stringify(config),
      timeoutMs: this.#timeoutMs,
      env: {
        CNI_COMMAND: command, CNI_CONTAINERID: to.containerId, CNI_NETNS: to.netns, CNI_IFNAME: to.ifname, CNI_PATH: this.#binDirs.join(':'),
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${to.pod.namespace};K8S_POD_NAME=${to.pod.name};K8S_POD_INFRA_CONTAINER_ID=${to.containerId};K8S_POD_UID=${to.pod.uid}`,
        PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin',
      },
    });
    if (done.code !== 0) throw pluginError(plugin.type, command, done);
    if (done.stdout.trim() === '') return undefined;
    try {
      return JSON.parse(done.stdout) as unknown;
    } catch {
      throw new CniError(`${plugin.type} ${command}: the result is not JSON: ${done.stdout.slice(0, 200)}`, 6);
    }
  }
}

/** The addresses of a result of any version since 0.3.0, in the order given, without their prefix lengths. */
export function resultIps(result: unknown): string[] {
  const ips = (result as { ips?: { address?: unknown }[] } | undefined)?.ips ?? [];
  return ips.flatMap(ip => (typeof ip.address === 'string' ? [ip.address.split('/')[0]!] : []));
}

function pluginError(type: string, command: string, done: { code: number; timedOut: boolean; stdout: string; stderr: string }): CniError {
  if (done.timedOut) return new CniError(`${type} ${command}: no answer in time`, 11);
  try {
    const said = JSON.parse(done.stdout) as { code?: number; msg?: string; details?: string };
    if (typeof said.msg === 'string') return new CniError(`${type} ${command}: ${said.msg}${said.details ? `: ${said.details}` : ''}`, said.code ?? 0);
  } catch {
    // It died without a CNI error.
  }
  return new CniError(`${type} ${command}: exit ${done.code}: ${(done.stderr || done.stdout).trim().slice(-500)}`, 0);
}
