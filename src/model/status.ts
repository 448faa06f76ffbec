import type { PathMtu } from './mtu.ts';

/** What an agent says of itself on `GET /v1/status`. `cirri status` prints it. */
export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly ready: boolean;
  /** Why it is not ready, empty when it is. */
  readonly notReady: readonly string[];
  readonly kernel: string;
  readonly memoryRssBytes: number;
  readonly features: readonly FeatureStatus[];
  readonly kubeProxyReplacement: KubeProxyReplacementStatus;
  /** What each path leaves of the uplink's MTU. */
  readonly mtu: readonly PathMtu[];
  readonly maps: readonly MapStatus[];
  readonly programs: readonly { readonly name: string; readonly attachedTo: string; readonly tag: string }[];
  readonly endpoints: { readonly total: number; readonly ready: number };
  readonly identities: number;
  readonly services: number;
  readonly policies: { readonly total: number; readonly invalid: number; readonly degraded: number; readonly sets: number;
    /** Valid, and not in force on this node: why, by address. At most 20. */
    readonly notEnforced: readonly { readonly address: string; readonly error: string }[];
  };
  /** Where denials pass: everywhere, or in these namespaces and for these pods of the node. */
  readonly audit: { readonly cluster: boolean; readonly namespaces: readonly string[]; readonly pods: readonly string[] };
  readonly kubernetes: { readonly connected: boolean; readonly lastContact?: string; readonly error?: string };
  readonly tables: readonly TableStatus[];
  /** Rows in error and other present trouble, worst first. */
  readonly errors: readonly { readonly where: string; readonly message: string; readonly since: string; readonly attempts: number }[];
  readonly events: { readonly flows: number; readonly drops: number; readonly lostFlows: number; readonly lostDrops: number; /** DNS messages. */ readonly lostNames?: number; /** Connections thrown out of a full table, whose end nobody told. */ readonly vanished?: number };
  readonly addresses: { readonly ipv4: AddressUse; readonly ipv6: AddressUse };
  readonly policyAudit: PolicyAuditStatus;
}

/** The slow comparison of the kernel's policy tables with what was meant. */
export interface PolicyAuditStatus {
  readonly rounds: number;
  /** Entries. */
  readonly compared: number;
  /** Found and mended since the agent started. */
  readonly differences: number;
  /** Newest first. */
  readonly last: readonly { readonly time: string; readonly text: string }[];
  /** Why the last step compared nothing. */
  readonly failure?: string;
}

export interface FeatureStatus {
  readonly name: string;
  /** `degraded` names the fallback in `detail`; `off` was asked for. */
  readonly state: 'on' | 'degraded' | 'off';
  readonly detail: string;
}

/** Upstream's block of that name, in its words. */
export interface KubeProxyReplacementStatus {
  readonly socketLB: 'Enabled';
  readonly socketLBCoverage: 'Full' | 'Hostns-only';
  /** Where clients outside come in. */
  readonly devices: readonly { readonly name: string; readonly addresses: readonly string[]; readonly directRouting: boolean }[];
  readonly mode: 'SNAT' | 'DSR' | 'Hybrid';
  readonly dsrDispatchMode?: 'IP Option/Extension';
  readonly backendSelection: string;
  readonly noBackends: 'reject' | 'drop';
  readonly xdpAcceleration: 'Disabled' | 'Native' | 'Generic';
  /** Acceleration was asked for and is not there: why. */
  readonly xdpMissing?: string;
  /** By type of frontend. */
  readonly services: Readonly<Record<string, string>>;
}

export interface MapStatus {
  readonly name: string;
  readonly used: number;
  readonly max: number;
  /** What happens soon, and what to do. */
  readonly warning?: string;
}

export interface TableStatus {
  readonly name: string;
  readonly rows: number;
  readonly pending: number;
  readonly failed: number;
  readonly synced: boolean;
}

export interface AddressUse {
  readonly cidr: string;
  readonly allocated: number;
  readonly capacity: number;
}
