import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import type { ClusterRecord } from '../model/cluster.ts';
import { CirriError, errorText } from '../std/errors.ts';
import { readSysctl, writeSysctl } from '../sys/sysctl.ts';
import { hasDefaultRoute } from './network.ts';

/**
 * The way from the nodes to the world: an nft table of our own that masquerades the underlay, and forwarding on the host. What
 * forwarding was before is kept for as long as any instance needs it, and restored by the last one.
 */
export function ensureOutside(record: ClusterRecord): string[] {
  const made: string[] = [];
  const table = tableName(record.instance);
  if (!nftTables().includes(table)) {
    nft(['-f', '-'], ruleset(record));
    made.push(`nft table ${table}`);
  }
  if (holdForwarding(record.instance)) made.push('forwarding on the host');
  return made;
}

/** Undoes `ensureOutside`. Returns what it undid. */
export function removeOutside(instance: string): string[] {
  const gone: string[] = [];
  if (nftTables().includes(tableName(instance))) {
    nft(['delete', 'table', 'inet', tableName(instance)]);
    gone.push(`nft table ${tableName(instance)}`);
  }
  if (releaseForwarding(instance)) gone.push('forwarding restored');
  return gone;
}

export function tableName(instance: string): string {
  return `cirri_${instance}`;
}

/** Names of the tables of family inet; none where nft is missing or the kernel has no nf_tables. */
export function nftTables(): string[] {
  try {
    const text = execFileSync('nft', ['list', 'tables', 'inet'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], env: toolEnv() });
    return [...text.matchAll(/^table inet (\S+)$/gm)].map(match => match[1]!);
  } catch {
    return [];
  }
}

function ruleset(record: ClusterRecord): string {
  const { bridge, prefix4, prefix6 } = record.underlay;
  // Traffic between nodes stays on the bridge. Where br_netfilter shows bridged packets to these hooks, it is kept out of
  // connection tracking: nothing here translates it.
  return `table inet ${tableName(record.instance)} {
  chain bridged {
    type filter hook prerouting priority raw; policy accept;
    iifname "${bridge}" ip saddr ${prefix4} ip daddr ${prefix4} notrack
    iifname "${bridge}" ip6 saddr ${prefix6} ip6 daddr ${prefix6} notrack
  }
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${prefix4} ip daddr != ${prefix4} oifname != "${bridge}" masquerade
    ip6 saddr ${prefix6} ip6 daddr != ${prefix6} oifname != "${bridge}" masquerade
  }
}
`;
}

function nft(args: readonly string[], input?: string): void {
  try {
    execFileSync('nft', args, { input, stdio: ['pipe', 'ignore', 'pipe'], env: toolEnv() });
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    throw new CirriError('ERR_NFT', `nft ${args.join(' ')}: ${stderr?.toString().trim() || errorText(error)}`, {
      mend: 'see whether this kernel has nf_tables (nft list ruleset)',
    });
  }
}

const holders = '/run/cirri/forwarding.json';
interface Forwarding {
  readonly previous: Readonly<Record<string, string>>;
  readonly instances: readonly string[];
}

/**
 * What has to be set. IPv6 only where the host has a way out itself; and as forwarding makes a host deaf to router
 * advertisements, which may be how it got its own address, devices that listen to them are told to go on (accept_ra = 2).
 */
function wantedSettings(instance: string): readonly (readonly [key: string, from: string, to: string])[] {
  const ipv4 = [['net/ipv4/ip_forward', '0', '1']] as const;
  if (!hasDefaultRoute(6)) return ipv4;
  const ours = (device: string) => ['all', 'default', 'lo', `${instance}0`].includes(device) || device.startsWith(`${instance}-n`);
  const listening = readdirSync('/proc/sys/net/ipv6/conf').filter(device => !ours(device)).map(device => [`net/ipv6/conf/${device}/accept_ra`, '1', '2'] as const);
  return [...listening, ...ipv4, ['net/ipv6/conf/all/forwarding', '0', '1']];
}

/** True when something had to be set. */
function holdForwarding(instance: string): boolean {
  const held = readHolders();
  const previous: Record<string, string> = { ...held?.previous };
  let changed = false;
  for (const [key, from, to] of wantedSettings(instance)) {
    if (readSysctl(key) !== from) continue;
    previous[key] ??= from;
    writeSysctl(key, to);
    changed = true;
  }
  const instances = held?.instances.includes(instance) ? held.instances : [...(held?.instances ?? []), instance];
  if (!changed && instances === held?.instances) return false;
  mkdirSync('/run/cirri', { recursive: true, mode: 0o700 });
  writeFileSync(holders, JSON.stringify({ previous, instances }));
  return changed;
}

function releaseForwarding(instance: string): boolean {
  const held = readHolders();
  if (!held?.instances.includes(instance)) return false;
  const instances = held.instances.filter(other => other !== instance);
  if (instances.length > 0) {
    writeFileSync(holders, JSON.stringify({ ...held, instances }));
    return false;
  }
  // Forwarding first: it resets what the devices accept.
  for (const [key, value] of Object.entries(held.previous).reverse()) if (value !== readSysctl(key)) writeSysctl(key, value);
  rmSync(holders, { force: true });
  return true;
}

function readHolders(): Forwarding | undefined {
  try {
    return JSON.parse(readFileSync(holders, 'utf8')) as Forwarding;
  } catch {
    return undefined;
  }
}

/** PATH with the sbin folders: root's tools, also from a shell that lacks them. */
export function toolEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin` };
}
