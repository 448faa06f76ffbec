/** What a stream of flows tells beside flows, in words that printing needs. */

/** Flows that nobody will see; flow.LostEvent. */
export interface LostEvents {
  readonly source: string;
  readonly count: number;
  readonly cpu?: number;
  /** RFC 3339: when the first and the last of them were lost. */
  readonly first?: string;
  readonly last?: string;
  readonly nodeName: string;
  readonly time: string;
}

/** relay.NodeStatusEvent: from whom the stream comes, and who is missing. */
export interface NodeStatus {
  readonly state: 'UNKNOWN_NODE_STATE' | 'NODE_CONNECTED' | 'NODE_UNAVAILABLE' | 'NODE_GONE' | 'NODE_ERROR';
  readonly nodes: readonly string[];
  readonly message?: string;
  /** Who says it: the relay's name, where there is one. */
  readonly nodeName: string;
  readonly time: string;
}
