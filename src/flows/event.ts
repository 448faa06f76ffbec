/** One record of the kernel's rings as plain columns, before any name is put to it. Numbers are the kernel's own (bpf/lib/events.h). */
export interface FlowEvent {
  /** CLOCK_MONOTONIC, nanoseconds (bpf_ktime_get_ns). */
  readonly timeNs: bigint;
  readonly source: string;
  readonly destination: string;
  readonly ipv6: boolean;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** IANA protocol number. */
  readonly protocol: number;
  readonly tcpFlags: number;
  readonly type: number;
  /** Drop reason for drops, observation point for traces. */
  readonly reasonOrPoint: number;
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  readonly sourceEndpoint: number;
  readonly destinationEndpoint: number;
  readonly rule: number;
  readonly ifindex: number;
  readonly length: number;
  readonly direction: number;
  readonly verdict: number;
  readonly match: number;
  readonly reply: boolean;
  readonly encrypted: boolean;
  readonly audit: boolean;
  /** Rule and verdict are what they would be with the shadow policies; the packet's own verdict is another event. */
  readonly shadow: boolean;
  /** The address the client asked for; undefined when no service was translated. */
  readonly service: string | undefined;
  readonly servicePort: number;
  /** 0 new, 1 established, 2 reply, 3 related. */
  readonly ctState: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** How the connection ended, of the record that tells it: 1 closed, 2 reset, 3 idle, 4 revoked; else 0. */
  readonly end: number;
  /** Of a connection's first answer: microseconds since its first packet; else 0. */
  readonly latencyUs: number;
  /** No packet was seen: the connection ended by its age, or somebody took it away. */
  readonly packetless: boolean;
  /** What the connection carried, of the record that tells its end. */
  readonly connection: ConnectionTotals | undefined;
}

/** "Forward" is what the connection's opener sent; bytes are frames at the hook. */
export interface ConnectionTotals {
  readonly forwardPackets: number;
  readonly forwardBytes: number;
  readonly replyPackets: number;
  readonly replyBytes: number;
  /** From the first packet to the last. */
  readonly durationNs: number;
}

/** Event types, Hubble's numbers (monitor message types). */
export const EventType = { drop: 1, trace: 4, policyVerdict: 5, l7: 129 } as const;

export const Protocol = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 } as const;
