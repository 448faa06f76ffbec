import { parse } from 'yaml';
import type { Settings } from '../../model/settings.ts';
import { CirriError } from '../../std/errors.ts';
import { formatPrefix, isAddr, parsePrefix } from '../../std/ip.ts';

/** What ip-masq-agent's configuration says; what it leaves out is undefined. */
export interface MasqueradeConfig {
  readonly nonMasqueradeCIDRs: readonly string[] | undefined;
  readonly masqLinkLocal: boolean;
  readonly masqLinkLocalIPv6: boolean;
}

/** Where the ConfigMap lies that ip-masq-agent's users have, and its key. */
export const configMapPlace = { namespace: 'kube-system', name: 'ip-masq-agent', key: 'config' } as const;

/** ip-masq-agent's own, when it is turned on and no list is given: private, shared and documentation ranges, and 240.0.0.0/4. */
export const usualExclusions: readonly string[] = [
  '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '240.0.0.0/4',
];

const fields = ['nonMasqueradeCIDRs', 'masqLinkLocal', 'masqLinkLocalIPv6', 'resyncInterval'];

/**
 * The text in the ConfigMap, YAML or JSON. Throws CirriError that names the field: a mistyped list would otherwise turn into
 * the usual one. `resyncInterval` has no meaning here, for the object is watched.
 */
export function readMasqueradeConfig(text: string): MasqueradeConfig {
  let tree: unknown;
  try {
    tree = parse(text) as unknown;
  } catch (error) {
    throw wrong(`is neither YAML nor JSON: ${(error as Error).message.split('\n')[0]}`);
  }
  if (tree === null || tree === undefined) return { nonMasqueradeCIDRs: undefined, masqLinkLocal: false, masqLinkLocalIPv6: false };
  if (typeof tree !== 'object' || Array.isArray(tree)) throw wrong('must be a mapping of fields');
  const given = tree as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find(name => !fields.includes(name));
  if (unknown !== undefined) throw wrong(`has no field ${unknown}; known are ${fields.join(', ')}`);
  const flag = (name: string): boolean => {
    const value = given[name] ?? false;
    if (typeof value !== 'boolean') throw wrong(`${name} must be true or false`);
    return value;
  };
  const list = given['nonMasqueradeCIDRs'] ?? undefined;
  if (list !== undefined && !Array.isArray(list)) throw wrong('nonMasqueradeCIDRs must be a list');
  return {
    nonMasqueradeCIDRs: (list as readonly unknown[] | undefined)?.map((item, i) => prefixText(item, `nonMasqueradeCIDRs[${i}]`)),
    masqLinkLocal: flag('masqLinkLocal'),
    masqLinkLocalIPv6: flag('masqLinkLocalIPv6'),
  };
}

/** The destinations to which pods keep their own address, sorted. `config` is the ConfigMap's; without one the settings' counts. */
export function masqueradeExclusions(settings: Settings['ipMasqAgent'], config: MasqueradeConfig | undefined): readonly string[] {
  if (!settings.enabled) return [];
  const { nonMasqueradeCIDRs } = settings.config;
  const chosen = config ?? { ...settings.config, nonMasqueradeCIDRs: nonMasqueradeCIDRs.length === 0 ? undefined : nonMasqueradeCIDRs };
  const prefixes = [
    ...(chosen.nonMasqueradeCIDRs ?? usualExclusions),
    ...(chosen.masqLinkLocal ? [] : ['169.254.0.0/16']),
    ...(chosen.masqLinkLocalIPv6 ? [] : ['fe80::/10']),
  ];
  return [...new Set(prefixes.map(text => formatPrefix(parsePrefix(text))))].sort();
}

function prefixText(item: unknown, where: string): string {
  const text = String(item);
  try {
    if (isAddr(text.split('/')[0]!)) return formatPrefix(parsePrefix(text));
  } catch {
    // Said below.
  }
  throw wrong(`${where}: "${text}" is not a prefix as 10.0.0.0/8`);
}

function wrong(what: string): CirriError {
  return new CirriError('ERR_MASQUERADE_CONFIG', `ConfigMap ${configMapPlace.namespace}/${configMapPlace.name}, data.${configMapPlace.key}: ${what}`);
}
