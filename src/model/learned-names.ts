/** An address and a name under which a pod of the node was given it (`GET /v1/fqdn` of the agent). */
export interface LearnedName {
  /** Local endpoint that asked. */
  readonly endpoint: number;
  /** Absent when the pod has gone. */
  readonly namespace?: string;
  readonly pod?: string;
  /** With the final dot. */
  readonly name: string;
  readonly ip: string;
  /** RFC 3339: until when flows bear the name. */
  readonly until: string;
}
