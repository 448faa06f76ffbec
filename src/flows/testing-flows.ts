import fc from 'fast-check';
import type { Flow, FlowEndpoint, FlowL7, FlowPolicy } from '../model/flow.ts';
import { observationPoints, policyMatches, tcpFlagsOf } from './enrich.ts';
import { socketPoints } from './flow-words.ts';
import { dropReasonCodes, dropReasonName } from './reasons.ts';

/** Random flows for property tests. */
export function anyFlow(word: fc.Arbitrary<string> = fc.string({ minLength: 1, maxLength: 12 })): fc.Arbitrary<Flow> {
  const texts = fc.array(word, { minLength: 1, maxLength: 3 });
  const count = fc.integer({ min: 1, max: 0xffff_ffff });
  const port = fc.integer({ min: 1, max: 65_535 });
  const total = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  /** Some of the fields, each present or not there at all. */
  const some = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(model, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;

  const endpoint: fc.Arbitrary<FlowEndpoint> = fc.tuple(
    fc.record({ ip: fc.ipV4(), identity: fc.nat(), id: fc.nat(65_535), labels: fc.array(word, { maxLength: 3 }) }),
    some({ namespace: word, podName: word, clusterName: word, names: texts, workloads: fc.array(fc.record({ name: word, kind: word }), { minLength: 1, maxLength: 2 }) }),
  ).map(([base, more]) => ({ ...base, ...more }) as FlowEndpoint);

  const policies: fc.Arbitrary<readonly FlowPolicy[]> = fc.array(fc.tuple(fc.record({ name: word }), some({ namespace: word, kind: word, labels: texts, revision: count })).map(([a, b]) => ({ ...a, ...b }) as FlowPolicy), { minLength: 1, maxLength: 2 });

  const l7: fc.Arbitrary<FlowL7> = fc.tuple(
    fc.record({ type: fc.constantFrom('REQUEST', 'RESPONSE', 'SAMPLE', 'UNKNOWN_L7_TYPE') as fc.Arbitrary<FlowL7['type']> }),
    some({ latencyNs: count }),
    fc.oneof(
      fc.tuple(fc.record({ query: word, observationSource: word }), some({ ips: texts, ttl: count, cnames: texts, rcode: count, qtypes: texts, rrtypes: texts })).map(([a, b]) => ({ dns: { ...a, ...b } })),
      fc.tuple(fc.record({ method: word, url: word, protocol: word }), some({ code: count, headers: fc.array(fc.record({ key: word, value: word }), { minLength: 1, maxLength: 2 }) })).map(([a, b]) => ({ http: { ...a, ...b } })),
      fc.tuple(fc.record({ apiVersion: fc.nat(), apiKey: word, correlationId: fc.nat() }), some({ errorCode: fc.integer({ min: -100, max: 100 }).filter(code => code !== 0), topic: word })).map(([a, b]) => ({ kafka: { ...a, ...b } })),
      fc.constant({}),
    ),
  ).map(([a, b, c]) => ({ ...a, ...b, ...c }) as FlowL7);

  const kinds: fc.Arbitrary<Partial<Flow>> = fc.oneof(
    fc.constantFrom(...dropReasonCodes.values()).map(code => ({ type: 'drop' as const, dropReasonCode: code, dropReason: dropReasonName(code).text })),
    fc.tuple(fc.constantFrom(...observationPoints), fc.constantFrom('new', 'established', 'reply', 'related')).map(([observationPoint, traceReason]) => ({ type: 'trace', observationPoint, traceReason }) as Partial<Flow>),
    fc.constantFrom(...policyMatches).map(policyMatch => ({ type: 'policy-verdict' as const, policyMatch })),
    l7.map(record => ({ type: 'l7' as const, l7: record })),
    fc.integer({ min: 1, max: 4 }).map(point => ({ type: 'sock' as const, subType: point, socketTranslation: socketPoints[point]![0] })),
    fc.integer({ min: 4, max: 11 }).map(subType => ({ type: 'capture' as const, subType })),
  );

  const layers: fc.Arbitrary<Partial<Flow>> = fc.oneof(
    fc.tuple(port, port, fc.nat(255)).map(([sourcePort, destinationPort, bits]) => ({ protocol: 'TCP', sourcePort, destinationPort, tcpFlags: tcpFlagsOf(bits) })),
    fc.tuple(port, port).map(([sourcePort, destinationPort]) => ({ protocol: 'UDP', sourcePort, destinationPort })),
    fc.tuple(port, port, fc.constantFrom('INIT', 'ABORT')).map(([sourcePort, destinationPort, sctpChunkType]) => ({ protocol: 'SCTP', sourcePort, destinationPort, sctpChunkType })),
    fc.tuple(fc.constantFrom('ICMPv4', 'ICMPv6'), fc.nat(255), fc.nat(255)).map(([protocol, icmpType, icmpCode]) => ({ protocol, icmpType, icmpCode })),
  );

  // Each field is there for a reason: absent where protobuf has its zero.
  return fc.tuple(
    fc.record({
      time: fc.tuple(fc.nat(4_102_444_799), fc.nat(999_999_999)).map(([seconds, nanos]) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, '0')}Z`), nodeName: word, id: word, summary: word,
      verdict: fc.constantFrom('FORWARDED', 'DROPPED', 'AUDIT', 'REDIRECTED', 'ERROR', 'TRANSLATED', 'TRACED', 'VERDICT_UNKNOWN'),
      direction: fc.constantFrom('INGRESS', 'EGRESS', 'UNKNOWN'), isReply: fc.constantFrom(true, false, undefined), ipVersion: fc.constantFrom('IPv4', 'IPv6'),
      source: endpoint, destination: endpoint,
    }),
    kinds, layers,
    some<Partial<Flow>>({
      nodeLabels: texts, ethernet: fc.record({ source: word, destination: word }), sourceXlated: fc.ipV4(), encrypted: fc.constant(true), authType: fc.constantFrom('SPIRE', 'TEST_ALWAYS_FAIL'),
      tunnel: fc.record({ protocol: fc.constantFrom('VXLAN', 'GENEVE', 'UNKNOWN'), source: fc.ipV4(), destination: fc.ipV4(), vni: count }),
      traceId: word, ipTraceId: count, ipTraceOption: count, proxyPort: port, file: fc.record({ name: word, line: count }), socketCookie: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), cgroupId: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
      egressAllowedBy: policies, ingressAllowedBy: policies, egressDeniedBy: policies, ingressDeniedBy: policies, policyLog: texts,
      connectLatencyNs: count, inKernel: fc.constant(true), interfaceName: word, interfaceIndex: count,
      connection: fc.record({ packetsOut: total, bytesOut: total, packetsBack: total, bytesBack: total, durationNs: total, end: fc.constantFrom('closed', 'reset', 'idle', 'revoked') }),
    } as never),
    fc.oneof(fc.constant({}), fc.record({ service: fc.record({ namespace: word, name: word, ip: fc.ipV4(), port }) }), fc.record({ services: fc.record({ source: fc.record({ namespace: word, name: word }), destination: fc.record({ namespace: word, name: word }) }) })),
  ).map(([base, kind, layer, more, service]) => {
    const flow = structuredClone({ ...base, ...kind, ...layer, ...more, ...service }) as Flow;
    // An option's id needs an id to stand beside.
    if (flow.ipTraceId !== undefined) return flow;
    const { ipTraceOption, ...rest } = flow;
    return rest;
  });
}
