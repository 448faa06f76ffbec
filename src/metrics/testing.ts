import type { FlowView } from '../flows/consumer.ts';
import type { Flow, FlowEndpoint } from '../model/flow.ts';

/** An end for tests. */
export function end(more: Partial<FlowEndpoint> = {}): FlowEndpoint {
  return { ip: '10.0.0.1', identity: 1000, id: 0, labels: [], ...more };
}

/** A flow as the pipeline would hand it on: a new connection of TCP that passed, unless `more` says otherwise. */
export function view(more: Partial<FlowView> = {}): FlowView {
  const flow: Flow = {
    time: '2026-01-02T03:04:05.000000006Z', nodeName: 'node1', verdict: 'FORWARDED', type: 'trace', observationPoint: 'to-endpoint', direction: 'INGRESS', isReply: false,
    ipVersion: 'IPv4', protocol: 'TCP', source: end(), destination: end({ ip: '10.0.0.2' }), sourcePort: 40_000, destinationPort: 80, tcpFlags: ['SYN'],
    summary: 'TCP Flags: SYN', id: 'a',
  };
  return { ...flow, seconds: 1_767_323_045, nanos: 6, packetless: false, ...more };
}
