import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { CirriError } from '../../std/errors.ts';

/**
 * Settings of `hubble` by file and environment: keys are names of flags. A flag on the command line comes first, then
 * HUBBLE_NAME (dashes are underscores), then the file, then the default.
 */
export type ConfigValue = string | number | boolean | readonly string[];

/** What hubble's configuration holds, with its defaults; other names of flags are taken too. */
export const configDefaults: Readonly<Record<string, ConfigValue>> = {
  allowlist: [],
  'basic-auth-password': '',
  'basic-auth-username': '',
  debug: false,
  denylist: [],
  'kube-context': '',
  'kube-namespace': 'kube-system',
  kubeconfig: '',
  'port-forward': false,
  'port-forward-port': 4245,
  'request-timeout': '12s',
  server: 'localhost:4245',
  timeout: '5s',
  tls: false,
  'tls-allow-insecure': false,
  'tls-ca-cert-files': [],
  'tls-client-cert-file': '',
  'tls-client-key-file': '',
  'tls-server-name': '',
};

type Env = Readonly<Record<string, string | undefined>>;

/** `$XDG_CONFIG_HOME/hubble/config.yaml`, as hubble has it. */
export function configPath(env: Env = process.env): string {
  return env['HUBBLE_CONFIG'] || join(env['XDG_CONFIG_HOME'] || join(homedir(), '.config'), 'hubble', 'config.yaml');
}

export class HubbleConfig {
  readonly path: string;
  readonly #env: Env;
  readonly #file: Record<string, ConfigValue>;

  /** A file that is not there holds nothing; `given` ones must be there. */
  constructor(given: string | undefined, env: Env = process.env) {
    this.path = given ?? configPath(env);
    this.#env = env;
    this.#file = readConfig(this.path, given !== undefined);
  }

  /** By environment or file; undefined where neither says anything. */
  get(key: string): ConfigValue | undefined {
    const text = this.#env[`HUBBLE_${key.toUpperCase().replaceAll('-', '_')}`];
    return text !== undefined && text !== '' ? text : this.#file[key];
  }

  /** All that is set, and the defaults of the rest. */
  all(): Readonly<Record<string, ConfigValue>> {
    const keys = [...new Set([...Object.keys(configDefaults), ...Object.keys(this.#file)])].sort();
    return Object.fromEntries(keys.map(key => [key, this.get(key) ?? configDefaults[key]!]));
  }

  /** An empty value is the default again. */
  set(key: string, value: string): void {
    const known = configDefaults[key];
    if (known === undefined) throw new CirriError('ERR_CONFIG', `unknown key: ${key}`, { mend: `known keys: ${Object.keys(configDefaults).join(', ')}` });
    if (value === '') delete this.#file[key];
    else this.#file[key] = typedValue(key, known, value);
    this.#write();
  }

  reset(key?: string): void {
    if (key === undefined) for (const each of Object.keys(this.#file)) delete this.#file[each];
    else this.set(key, '');
    this.#write();
  }

  #write(): void {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    // It may hold a password.
    writeFileSync(this.path, Object.keys(this.#file).length === 0 ? '{}\n' : stringify(this.#file), { mode: 0o600 });
  }
}

function typedValue(key: string, known: ConfigValue, value: string): ConfigValue {
  if (typeof known === 'boolean') {
    if (!/^(true|false)$/i.test(value)) throw new CirriError('ERR_CONFIG', `${key} is true or false, not "${value}"`);
    return value.toLowerCase() === 'true';
  }
  if (typeof known === 'number') {
    if (!/^\d+$/.test(value)) throw new CirriError('ERR_CONFIG', `${key} is a number, not "${value}"`);
    return Number(value);
  }
  if (Array.isArray(known)) return key.endsWith('list') ? [value] : value.split(',');
  return value;
}

function readConfig(path: string, mustBeThere: boolean): Record<string, ConfigValue> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (!mustBeThere && (error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new CirriError('ERR_CONFIG', `cannot read ${path}`, { cause: error });
  }
  const parsed: unknown = parse(text) ?? {};
  if (typeof parsed !== 'object' || Array.isArray(parsed)) throw new CirriError('ERR_CONFIG', `${path} is not a list of settings`, { mend: 'one a line, as server: localhost:4245' });
  return parsed as Record<string, ConfigValue>;
}
