import type { HttpReader } from './l7.ts';

/**
 * What a cluster's operator chooses. Names and values are those of upstream's Helm chart, so that a values file can be taken
 * along: `loadBalancer.mode` is `settings.loadBalancer.mode`. Part of the cluster record; agents read it at their start.
 */
export interface Settings {
  readonly loadBalancer: {
    /** How clients outside reach backends on other nodes: by this node (snat), or answered by theirs (dsr); hybrid: TCP dsr, others snat. */
    readonly mode: 'snat' | 'dsr' | 'hybrid';
    /** Of services that do not say (annotation service.cilium.io/lb-algorithm). */
    readonly algorithm: 'random' | 'maglev';
    /** XDP on the uplink. best-effort: native where the driver can, else generic. */
    readonly acceleration: 'disabled' | 'native' | 'best-effort' | 'generic';
    /** What a client hears of a service without backends. */
    readonly serviceNoBackendResponse: 'reject' | 'drop';
  };
  readonly maglev: {
    /** A prime number; larger is more even. */
    readonly tableSize: number;
    /** Base64 of 12 bytes: the same on all nodes and in all clusters that share clients. */
    readonly hashSeed: string;
  };
  readonly nodePort: {
    readonly range: readonly [min: number, max: number];
    /** Prefixes; which of the node's addresses serve node ports. Empty: all. */
    readonly addresses: readonly string[];
  };
  readonly socketLB: {
    /** Sockets of pods are left alone; their services are translated packet by packet. */
    readonly hostNamespaceOnly: boolean;
  };
  readonly sockmap: { readonly enabled: boolean };
  readonly bpf: {
    /** ClusterIPs answer clients outside too. */
    readonly lbExternalClusterIP: boolean;
    /** loadBalancerSourceRanges hold at all addresses of a service, not only at its load balancer's. */
    readonly lbSourceRangeAllTypes: boolean;
    readonly lbMapMax: number;
    readonly ctMax: number;
    readonly natMax: number;
    /** How much of what passes is told: none is every packet both ways, low every packet sent on, medium a connection's first packets, changes of TCP flags and end, max only first packets and end. */
    readonly monitorAggregation: 'none' | 'low' | 'medium' | 'max';
  };
  readonly hubble: {
    readonly enabled: boolean;
    readonly relay: {
      readonly enabled: boolean;
      /** An address of this machine on which others reach the relay too, with a token. Empty: none. */
      readonly listenHost: string;
      readonly listenPort: number;
    };
    readonly ui: { readonly enabled: boolean };
    readonly metrics: {
      /** `dns:query;ignoreAAAA`: plugins and their options, upstream's syntax. Empty: none. */
      readonly enabled: readonly string[];
      readonly serviceMonitor: { readonly enabled: boolean };
    };
    /** Flows kept in memory on each node. */
    readonly eventBufferCapacity: number;
    readonly tls: { readonly enabled: boolean };
    readonly redact: {
      readonly enabled: boolean;
      readonly http: { readonly urlQuery: boolean; readonly userInfo: boolean; readonly headers: { readonly allow: readonly string[]; readonly deny: readonly string[] } };
    };
    readonly history: {
      readonly enabled: boolean;
      readonly days: number;
      readonly maxMegabytes: number;
    };
    readonly export: {
      /** Path of the file on each node, `stdout` or empty for none. */
      readonly filePath: string;
      readonly fileMaxSizeMb: number;
      readonly fileMaxBackups: number;
      readonly fileCompress: boolean;
      readonly allowlist: readonly string[];
      readonly denylist: readonly string[];
      readonly fieldMask: readonly string[];
      /** OTLP over HTTP: where flows are sent as log records. Empty: nowhere. */
      readonly otlpEndpoint: string;
    };
  };
  readonly dns: {
    /** Seconds that an address of a name stays usable at least, however short its TTL is. */
    readonly minTTL: number;
    /** The answer to a question that policy does not allow. */
    readonly rejectResponse: 'refused' | 'nameError';
  };
  readonly l7: {
    /** Who carries out rules on HTTP of policies that do not say (annotation policy.cirri.io/l7-http): kernel where it can, else the proxy. */
    readonly http: HttpReader;
    /** Processes of each node's layer 7 proxy; 0: one on up to two processors, else as many as there are, at most 4. */
    readonly workers: number;
    /** Beside each worker a second process that has started and waits: new connections go on at once when the worker dies. */
    readonly spare: boolean;
    /** Of a worker: one more is reset. */
    readonly maxConnections: number;
    /** A connection on which nothing was said for so long ends. */
    readonly idleTimeoutSeconds: number;
    /** Requests and answers as JSON lines: the path of a file on each node, `stdout`, or empty for none. */
    readonly accessLog: string;
    /** Names of request headers that flows of HTTP bear; hubble.redact may hide their values. */
    readonly headers: readonly string[];
  };
  /** Prefixes from which services may take addresses that are not the cluster's own (spec.externalIPs, status.loadBalancer), beside the load balancer pools. */
  readonly externalIPs: { readonly allowed: readonly string[] };
  readonly localRedirectPolicies: {
    /** Prefixes whose addresses a CiliumLocalRedirectPolicy may catch by addressMatcher. */
    readonly addressMatcherCIDRs: readonly string[];
  };
  readonly ipMasqAgent: {
    readonly enabled: boolean;
    readonly config: { readonly nonMasqueradeCIDRs: readonly string[]; readonly masqLinkLocal: boolean; readonly masqLinkLocalIPv6: boolean };
  };
}

/** Why the kernel carries out no HTTP in a cluster with these settings, in a sentence; undefined: they leave it to each policy. */
export function settingsAgainstKernel({ headers }: Pick<Settings['l7'], 'headers'>): string | undefined {
  return headers.length > 0 ? 'l7.headers is set, and only the proxy tells headers' : undefined;
}

/** Whole settings from what an older record has: what it does not know is as by default. */
export function withDefaults<T>(known: unknown, defaults: T): T {
  if (known === undefined || known === null) return defaults;
  if (typeof defaults !== 'object' || defaults === null || Array.isArray(defaults)) return known as T;
  return Object.fromEntries(Object.entries(defaults).map(([name, value]) => [name, withDefaults((known as Record<string, unknown>)[name], value as unknown)])) as T;
}

/** Source ports of the node's own connections (net.ipv4.ip_local_port_range), and those that masquerading takes: node ports lie outside of both. */
export const localPorts = [10_000, 29_999] as const;
export const masqueradePorts = [32_768, 65_535] as const;

export const defaultSettings: Settings = {
  loadBalancer: { mode: 'snat', algorithm: 'random', acceleration: 'disabled', serviceNoBackendResponse: 'reject' },
  maglev: { tableSize: 16381, hashSeed: 'JLfvgnHc2kaSUFaI' },
  nodePort: { range: [30000, 32767], addresses: [] },
  socketLB: { hostNamespaceOnly: false },
  sockmap: { enabled: false },
  bpf: { lbExternalClusterIP: false, lbSourceRangeAllTypes: false, lbMapMax: 131_072, ctMax: 524_288, natMax: 262_144, monitorAggregation: 'medium' },
  hubble: {
    enabled: true,
    relay: { enabled: true, listenHost: '', listenPort: 4245 },
    ui: { enabled: true },
    metrics: { enabled: ['dns', 'drop', 'tcp', 'flow', 'icmp', 'http', 'policy', 'connection'], serviceMonitor: { enabled: false } },
    eventBufferCapacity: 16_383,
    tls: { enabled: true },
    redact: { enabled: false, http: { urlQuery: false, userInfo: true, headers: { allow: [], deny: [] } } },
    history: { enabled: true, days: 30, maxMegabytes: 4096 },
    export: { filePath: '', fileMaxSizeMb: 10, fileMaxBackups: 5, fileCompress: false, allowlist: [], denylist: [], fieldMask: [], otlpEndpoint: '' },
  },
  dns: { minTTL: 60, rejectResponse: 'refused' },
  l7: { http: 'proxy', workers: 0, spare: true, maxConnections: 16_384, idleTimeoutSeconds: 3600, accessLog: '', headers: [] },
  externalIPs: { allowed: [] },
  localRedirectPolicies: { addressMatcherCIDRs: ['169.254.0.0/16', 'fe80::/10'] },
  ipMasqAgent: { enabled: false, config: { nonMasqueradeCIDRs: [], masqLinkLocal: false, masqLinkLocalIPv6: false } },
};
