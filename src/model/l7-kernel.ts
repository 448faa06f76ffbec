/** What an agent says of HTTP/1.1 that the kernel carries out: `GET /v1/l7/kernel`. */
import type { CarriedConnection } from './l7-proxy.ts';

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
  /** Why segments are read at the pods' devices, one queue later than where they are forwarded. */
  readonly detour?: string;
  /** Connections that it carries, by the last count, and how many it has room for: the proxy takes the others. */
  readonly connections: number;
  readonly room: number;
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

/** `GET /v1/l7/kernel/connections`: those that the kernel carries, as many as are listed, and how many there are. */
export interface L7KernelConnections {
  readonly connections: readonly L7KernelConnection[];
  readonly total: number;
}

/** `egressSet` is always 0: what a pod sends is read by the proxy. */
export interface L7KernelConnection extends CarriedConnection {
  /** ended: its row stays until nothing of it can come again. */
  readonly state: 'idle' | 'busy' | 'passing' | 'ended';
}

/** Why a request could not be read, by the kernel's number (bpf/lib/http_reader.h, enum http_fault): the proxy's words; from 64 on what only the proxy takes. */
const faultTexts: Readonly<Record<number, string>> = {
  1: 'the method is no token',
  2: 'the request target is malformed',
  3: 'the version is neither HTTP/1.1 nor HTTP/1.0',
  4: 'a header field has a malformed name',
  5: 'a header field has a malformed value',
  6: 'too many header fields',
  7: 'there is no Host',
  8: 'there is more than one Host',
  9: 'the Host is malformed',
  10: 'the Content-Length is no length',
  11: 'there is more than one Content-Length',
  12: 'the Transfer-Encoding is not "chunked" alone',
  13: 'there are Content-Length and Transfer-Encoding',
  14: 'Connection names a field that ends messages',
  15: 'a chunk has a malformed size',
  16: 'a chunk has malformed or too many extensions',
  17: 'a chunk does not end where it should',
  18: 'a trailer field is malformed or may not be one',
  19: 'the status line is malformed',
  20: 'an answer that nobody asked for',
  21: 'too many empty lines',
  22: 'the head is too large',
  23: 'a body where there can be none',
  24: "the Host is not the target's",
  25: 'the path leads above the root, or has a zero byte',
  26: 'CONNECT has no body',
  64: 'a target with a scheme, which the proxy reads and the kernel does not',
  65: 'CONNECT, which the proxy reads and the kernel does not',
  66: 'HTTP/2, which the proxy reads and the kernel does not',
};

export function httpFaultText(fault: number): string {
  return faultTexts[fault] ?? 'malformed';
}
