type Json = Readonly<Record<string, unknown>>;

interface Counted {
  readonly flow: Json;
  ingress: number;
  egress: number;
  unknown: number;
}

/** Kinds of flows that are told apart within one interval; what is more is told one by one. */
const limit = 10_000;

/** Flows that are equal in the fields of a mask, counted: upstream's fieldAggregate. */
export class FlowAggregate {
  readonly #mask: (flow: Json) => Json;
  #counts = new Map<string, Counted>();

  constructor(mask: (flow: Json) => Json) {
    this.#mask = mask;
  }

  /** False: there are too many kinds in this interval, the flow is to be told by itself. */
  add(flow: Json): boolean {
    const masked = this.#mask(flow);
    const key = JSON.stringify(masked);
    let counted = this.#counts.get(key);
    if (!counted) {
      if (this.#counts.size >= limit) return false;
      this.#counts.set(key, counted = { flow: masked, ingress: 0, egress: 0, unknown: 0 });
    }
    if (flow['traffic_direction'] === 'INGRESS') counted.ingress++;
    else if (flow['traffic_direction'] === 'EGRESS') counted.egress++;
    else counted.unknown++;
    return true;
  }

  /** What was counted since the last call, with `aggregate` as flow.proto has it. */
  take(): Json[] {
    const counts = this.#counts;
    this.#counts = new Map();
    return [...counts.values()].map(({ flow, ingress, egress, unknown }) => ({
      ...flow,
      aggregate: { ...(ingress > 0 && { ingress_flow_count: ingress }), ...(egress > 0 && { egress_flow_count: egress }), ...(unknown > 0 && { unknown_direction_flow_count: unknown }) },
    }));
  }
}
