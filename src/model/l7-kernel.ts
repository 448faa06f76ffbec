/** What an agent says of HTTP/1.1 that the kernel carries out: `GET /v1/l7/kernel`. */

/** One HTTP set that policy on this node names. */
export interface HttpSetPlace {
  readonly number: number;
  readonly rules: number;
  /** What the policies ask for, and where it is. */
  readonly wanted: 'kernel' | 'proxy';
  readonly place: 'kernel' | 'proxy';
  /** Why it is not where it was wanted. */
  readonly reason?: string;
}

export interface L7KernelStatus {
  /** Why the kernel of this node carries out none. */
  readonly unable?: string;
  readonly sets: readonly HttpSetPlace[];
  /** Pods with the programs at their devices, `namespace/name`; and those that want them and why they have none. */
  readonly pods: readonly string[];
  readonly failedPods: readonly { readonly pod: string; readonly reason: string }[];
  /** Connections that it carries, by the last count. */
  readonly connections: number;
  /** Since the node's maps were made. */
  readonly counts: L7KernelCounts;
}

export interface L7KernelCounts {
  /** Taken at their SYN. */
  readonly taken: number;
  readonly requests: number;
  readonly denied: number;
  /** Could not be read, or nothing may follow them: their connections ended. */
  readonly faults: number;
  readonly answers: number;
  /** Connections whose server could not be understood. */
  readonly unknownAnswers: number;
  /** Segments that were dropped to come again, since something had to come first. */
  readonly held: number;
  readonly resets: number;
}
