import { connection } from './connection.ts';
import { dns } from './dns.ts';
import { drop } from './drop.ts';
import { flow } from './flow.ts';
import { flowsToWorld } from './flows-to-world.ts';
import { http, httpV2 } from './http.ts';
import { icmp } from './icmp.ts';
import { kafka } from './kafka.ts';
import type { MetricPlugin } from './plugin.ts';
import { policy } from './policy.ts';
import { portDistribution } from './port-distribution.ts';
import { sctp } from './sctp.ts';
import { tcp } from './tcp.ts';

/** Every plugin that can be named in `hubble.metrics.enabled`. */
export const plugins: ReadonlyMap<string, MetricPlugin> = new Map(
  [connection, dns, drop, flow, flowsToWorld, http, httpV2, icmp, kafka, policy, portDistribution, sctp, tcp].map(plugin => [plugin.name, plugin] as const),
);
