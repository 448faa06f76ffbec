import { BackendState, ServiceFlag, ServiceScope, ServiceType } from '../../datapath/generated/enums.ts';
import type { Backend, Service, ServiceKey } from '../../datapath/generated/structs.ts';
import { formatPrefix } from '../../std/ip.ts';
import type { KernelMaps } from './kernel-maps.ts';
import { hostPort, protocolText } from './text.ts';

/** A row of `services` with its slots. */
export interface LbService {
  readonly frontend: string;
  readonly id: number;
  readonly type: string;
  /** Upstream's words for them: non-routable, two-scopes, … */
  readonly flags: readonly string[];
  readonly affinityTimeout: number;
  readonly maglev: number;
  readonly slots: readonly LbSlot[];
}

export interface LbSlot {
  readonly slot: number;
  readonly backend: number;
  /** `10.0.1.7:53/UDP`; undefined where the map has no such backend. */
  readonly address: string | undefined;
}

export interface LbBackend {
  readonly id: number;
  readonly address: string;
  readonly state: string;
}

const typeNames: Readonly<Record<number, string>> = {
  [ServiceType.ClusterIp]: 'ClusterIP', [ServiceType.NodePort]: 'NodePort', [ServiceType.ExternalIp]: 'ExternalIPs', [ServiceType.LoadBalancer]: 'LoadBalancer',
  [ServiceType.HostPort]: 'HostPort', [ServiceType.LocalRedirect]: 'LocalRedirect',
};

const flagWords: readonly (readonly [bit: number, word: string])[] = [
  [ServiceFlag.TwoScopes, 'two-scopes'], [ServiceFlag.SourceRanges, 'check source-range'], [ServiceFlag.SourceDeny, 'deny'], [ServiceFlag.Silent, 'silent'], [ServiceFlag.Dsr, 'dsr'],
  [ServiceFlag.Nat46x64, '46x64'], [ServiceFlag.HostOnly, 'host-only'], [ServiceFlag.RedirectExempt, 'redirect-exempt'],
];

/** All services in order of their addresses; slots are looked up as each row is taken. */
export function* lbServices(maps: KernelMaps): Generator<LbService> {
  const slots = maps.open('serviceSlots');
  const addressOf = backendAddresses(maps);
  const rows = [...maps.open('services').entries()].map(([key, service]) => ({ frontend: frontendText(key), service })).sort((a, b) => (a.frontend < b.frontend ? -1 : 1));
  for (const { frontend, service } of rows) {
    const own: LbSlot[] = [];
    for (let slot = 0; slot < service.count; slot++) {
      const backend = slots.lookup({ service: service.id, slot })?.backend ?? 0;
      own.push({ slot: slot + 1, backend, address: addressOf(backend) });
    }
    yield { frontend, id: service.id, ...descriptionOf(service), affinityTimeout: service.affinityTimeout, maglev: service.maglev, slots: own };
  }
}

/** In the layout of `cilium-dbg bpf lb list`: a line a slot, then the row of the service itself. */
export function lbServiceText({ frontend, id, type, flags, slots }: LbService): string {
  const lines = [...slots.map(({ slot, address }) => `${address ?? '(gone)'} (${id}) (${slot})`), `0.0.0.0:0 (${id}) (0) [${[type, ...flags].join(', ')}]`];
  return lines.map((text, i) => `${(i === 0 ? frontend : '').padEnd(frontendWidth)}${text}`).join('\n');
}

/** Wide enough for IPv4 and short IPv6: rows are written before all are known. */
const frontendWidth = 34;
export const lbHeader = `${'SERVICE ADDRESS'.padEnd(frontendWidth)}BACKEND ADDRESS (REVNAT_ID) (SLOT)`;

export function* lbBackends(maps: KernelMaps): Generator<LbBackend> {
  for (const [key, backend] of maps.open('backends').entries()) yield { id: key.id, address: backendText(backend), state: stateNames[backend.state] ?? String(backend.state) };
}

export function* lbReverse(maps: KernelMaps): Generator<{ readonly id: number; readonly address: string }> {
  for (const [key, { addr, port }] of maps.open('serviceAddresses').entries()) yield { id: key.id, address: hostPort(addr, port) };
}

export function* lbSourceRanges(maps: KernelMaps): Generator<{ readonly id: number; readonly prefix: string }> {
  for (const [key] of maps.open('serviceSources').entries()) yield { id: key.service, prefix: formatPrefix({ addr: key.addr, bits: key.prefixBits - 32 }) };
}

/** Looks up each backend once. */
export function backendAddresses(maps: KernelMaps): (id: number) => string | undefined {
  const backends = maps.open('backends');
  const known = new Map<number, string | undefined>();
  return id => {
    if (!known.has(id)) {
      const backend = backends.lookup({ id });
      known.set(id, backend && backendText(backend));
    }
    return known.get(id);
  };
}

/** `10.96.0.10:53/UDP`; `/i` is the scope of clients inside. */
export function frontendText(key: ServiceKey): string {
  const suffix = key.scope === ServiceScope.External ? '' : key.scope === ServiceScope.Internal ? '/i' : `/${key.scope}`;
  return `${hostPort(key.addr, key.port)}/${protocolText(key.protocol)}${suffix}`;
}

export function descriptionOf(service: Service): { readonly type: string; readonly flags: readonly string[] } {
  return {
    type: typeNames[service.type] ?? String(service.type),
    flags: [
      ...((service.flags & ServiceFlag.Routable) === 0 ? ['non-routable'] : []),
      ...flagWords.filter(([bit]) => (service.flags & bit) !== 0).map(([, word]) => word),
      ...(service.affinityTimeout > 0 ? ['sessionAffinity'] : []),
      ...(service.maglev > 0 ? ['maglev'] : []),
    ],
  };
}

function backendText({ addr, port, protocol }: Backend): string {
  return `${hostPort(addr, port)}/${protocolText(protocol)}`;
}

const stateNames: Readonly<Record<number, string>> = {
  [BackendState.Active]: 'active', [BackendState.Terminating]: 'terminating', [BackendState.Quarantined]: 'quarantined', [BackendState.Maintenance]: 'maintenance',
};
