/** One address of a service as an agent tells of it: `GET /v1/services`, one for each frontend and scope. */
export interface ServiceListing {
  /** In the kernel's maps; absent until the row is there. */
  readonly id: number | undefined;
  readonly namespace: string;
  readonly name: string;
  readonly portName: string;
  /** ClusterIP, NodePort, ExternalIP, LoadBalancer, HostPort, LocalRedirect. */
  readonly type: string;
  /** `10.96.0.10:53/UDP`, `[fd00::a]:53/UDP`; with `/i` at the end what clients inside get, where clients outside get something else; with `/o` what a local redirect stands in for. */
  readonly frontend: string;
  /** Seconds; 0 is none. */
  readonly affinityTimeout: number;
  /** routable, twoScopes, sourceRanges, sourceDeny, silent, dsr, nat46x64, hostOnly, redirectExempt: as bpf/lib/service.h has them. */
  readonly flags?: readonly string[];
  /** Entries of its Maglev table; 0 or absent: a random choice. */
  readonly maglev?: number;
  /** Prefixes that may come from outside, or, with `sourceDeny`, may not. */
  readonly sources?: readonly string[];
  readonly sourceDeny?: boolean;
  readonly backends: readonly ServiceBackendListing[];
}

export interface ServiceBackendListing {
  /** `10.0.1.7:53/UDP`. */
  readonly address: string;
  /** active, terminating, quarantined, maintenance. */
  readonly state: string;
  readonly nodeName: string;
  readonly weight?: number;
}
