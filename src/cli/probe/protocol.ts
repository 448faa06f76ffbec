/** What `cirri probe` and its helper inside the pod say to each other, a JSON line each, over standard input and output. */
export interface ProbeOrder {
  readonly id: number;
  /** An address, or a name for the cluster's DNS. */
  readonly host: string;
  readonly family: 0 | 4 | 6;
  readonly dns: { readonly server: string; readonly search: readonly string[] };
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'ICMP';
  readonly http?: { readonly method: string; readonly path: string; readonly headers: readonly (readonly [string, string])[]; readonly host: string };
  readonly timeoutMs: number;
}

export interface End {
  readonly ip: string;
  readonly port: number;
}

/** How it ended, as far as the pod can tell: a drop looks like silence from here. */
export type PodOutcome = 'allowed' | 'refused' | 'timed-out' | 'unreachable';

export interface PodResult {
  readonly outcome: PodOutcome;
  readonly latencyMs: number;
  readonly httpStatus: number | null;
  readonly source: End | null;
  readonly peer: End | null;
  readonly error: string | null;
}

export type OrderLine = { readonly order: ProbeOrder } | { readonly cancel: number };

export type ReportLine =
  | { readonly ready: true }
  /** The probe's own address and port, as soon as the kernel has chosen them. */
  | { readonly id: number; readonly source: End }
  | { readonly id: number; readonly done: PodResult };
