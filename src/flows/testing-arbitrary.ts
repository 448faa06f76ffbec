import fc from 'fast-check';
import type { Flow, FlowEndpoint, FlowL7, FlowPolicy, FlowRule } from '../model/flow.ts';
import type { FlowView } from './consumer.ts';
import { observationPoints, policyMatches, tcpFlagsOf } from './enrich.ts';
import { dropReasonName } from './reasons.ts';

/** Flows at random, small worlds so that filters hit: for property tests of codecs and filters. */

/** Records with an ordinary prototype, as everybody else's. */
const record = <T extends object>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record<T>(model, { noNullPrototype: true });
const oneOf = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const maybe = <T>(arb: fc.Arbitrary<T>) => fc.option(arb, { nil: undefined, freq: 2 });
const word = fc.oneof(oneOf('web', 'web-7d9f', 'api', 'db', 'hübsch', 'a-name-that-is-rather-long-'.repeat(5)), fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme' }));
const namespace = oneOf('default', 'payments', 'kube-system');
const port = fc.oneof(oneOf(0, 53, 80, 443, 8080), fc.nat(65_535));

export const labelArb = oneOf('k8s:app=web', 'k8s:app=api', 'k8s:tier=front', 'k8s:io.kubernetes.pod.namespace=payments', 'reserved:world', 'reserved:host', 'k8s:empty=', 'cidr:10.0.0.0/8', 'container:x=y');
export const ipv4Arb = oneOf('10.0.0.1', '10.0.1.2', '192.168.7.9', '1.1.1.1', '');
export const ipv6Arb = oneOf('fd00::1', 'fd00:1::2', '2001:db8::7');

const workloadArb = record({ name: oneOf('web', 'api', ''), kind: oneOf('Deployment', 'StatefulSet', '') });

function endpointArb(ip: fc.Arbitrary<string>): fc.Arbitrary<FlowEndpoint> {
  return record({
    ip, identity: fc.oneof(oneOf(0, 1, 2, 1234), fc.nat(2 ** 25)), id: fc.nat(65_535), namespace: maybe(namespace), podName: maybe(word), clusterName: maybe(oneOf('east', 'west')),
    labels: fc.array(labelArb, { maxLength: 4 }), names: maybe(fc.array(oneOf('cilium.io', 'www.example.com', 'A.example.com.'), { minLength: 1, maxLength: 2 })),
    workloads: maybe(fc.array(workloadArb, { minLength: 1, maxLength: 2 })),
  }).map(dropUndefined) as fc.Arbitrary<FlowEndpoint>;
}

const policyArb = record({
  name: word, namespace: maybe(namespace), kind: maybe(oneOf('CiliumNetworkPolicy', 'NetworkPolicy')), labels: maybe(fc.array(labelArb, { minLength: 1, maxLength: 2 })), revision: maybe(fc.integer({ min: 1, max: 2 ** 40 })),
}).map(dropUndefined) as fc.Arbitrary<FlowPolicy>;
const policiesArb = maybe(fc.array(policyArb, { minLength: 1, maxLength: 2 }));

const ruleArb = record({
  id: fc.nat(100_000), kind: word, namespace: maybe(namespace), name: word, path: oneOf('spec.ingress[0]', ''), effect: oneOf('allow', 'deny', 'pass', 'default-deny', 'default-allow'), because: fc.string({ maxLength: 200 }),
}).map(dropUndefined) as fc.Arbitrary<FlowRule>;

const countArb = fc.oneof(fc.nat(1000), fc.maxSafeNat());
const connectionArb = record({
  packetsOut: countArb, bytesOut: countArb, packetsBack: countArb, bytesBack: countArb, durationNs: countArb, end: oneOf('closed', 'reset', 'idle', 'revoked'),
});

const l7Arb = fc.tuple(oneOf('REQUEST', 'RESPONSE', 'SAMPLE', 'UNKNOWN_L7_TYPE'), maybe(fc.integer({ min: 1, max: 2 ** 45 })), fc.oneof(
  record({
    query: oneOf('a.example.com.', 'cilium.io.', 'kube-dns'), ips: maybe(fc.array(ipv4Arb, { minLength: 1, maxLength: 2 })), ttl: maybe(fc.integer({ min: 1, max: 86_400 })), cnames: maybe(fc.constant(['x.y.'])),
    observationSource: oneOf('datapath', 'proxy'), rcode: maybe(fc.integer({ min: 1, max: 10 })), qtypes: maybe(fc.constant(['A', 'AAAA'])), rrtypes: maybe(fc.constant(['CNAME'])),
  }).map(value => ({ dns: dropUndefined(value) })),
  record({
    code: maybe(oneOf(200, 201, 404, 503)), method: oneOf('GET', 'POST', ''), url: oneOf('http://shop/cart?id=7', 'https://u:p@api:8443/v1/x', '/bare', ''), protocol: oneOf('HTTP/1.1', 'HTTP/2'),
    headers: maybe(fc.array(record({ key: oneOf('X-Id', 'Host'), value: oneOf('1', 'shop', '') }), { minLength: 1, maxLength: 2 })),
  }).map(value => ({ http: dropUndefined(value) })),
  record({ errorCode: maybe(fc.integer({ min: -5, max: 40 }).filter(code => code !== 0)), apiVersion: fc.nat(10), apiKey: oneOf('produce', 'fetch'), correlationId: fc.nat(2 ** 31 - 1), topic: maybe(oneOf('orders')) }).map(value => ({ kafka: dropUndefined(value) })),
  fc.constant({}),
)).map(([type, latencyNs, record]) => dropUndefined({ type, latencyNs, ...record }) as FlowL7);

const layer4Arb = fc.oneof(
  record({ protocol: oneOf('TCP'), sourcePort: port, destinationPort: port, tcpFlags: fc.nat(255).map(bits => tcpFlagsOf(bits)) }),
  record({ protocol: oneOf('UDP'), sourcePort: port, destinationPort: port }),
  record({ protocol: oneOf('SCTP'), sourcePort: port, destinationPort: port, sctpChunkType: maybe(oneOf('INIT', 'ABORT')) }),
  record({ protocol: oneOf('ICMPv4', 'ICMPv6'), icmpType: fc.nat(255), icmpCode: fc.nat(20) }),
  record({ protocol: oneOf('VRRP', 'IGMP', '') }),
).map(layer => {
  // No ports are told as absent ones.
  if ('sourcePort' in layer && layer.sourcePort === 0 && layer.destinationPort === 0) return dropUndefined({ ...layer, sourcePort: undefined, destinationPort: undefined });
  return dropUndefined(layer);
});

const kindArb = fc.oneof(
  oneOf(130, 133, 181, 207).map(code => ({ type: 'drop', verdict: 'DROPPED', dropReasonCode: code, dropReason: dropReasonName(code).text })),
  record({ type: oneOf('trace'), verdict: oneOf('FORWARDED'), observationPoint: oneOf(...observationPoints), traceReason: maybe(oneOf('new', 'established', 'reply', 'related')) }),
  record({ type: oneOf('policy-verdict'), verdict: oneOf('FORWARDED', 'DROPPED', 'AUDIT', 'REDIRECTED', 'TRACED'), policyMatch: oneOf(...policyMatches), policyLog: maybe(fc.constant(['told'])) }),
  record({ type: oneOf('l7'), verdict: oneOf('FORWARDED', 'DROPPED', 'ERROR'), l7: l7Arb }),
  record({ type: oneOf('sock'), verdict: oneOf('TRANSLATED', 'TRACED'), subType: fc.integer({ min: 1, max: 4 }), socketTranslation: oneOf('SOCK_XLATE_POINT_PRE_DIRECTION_FWD') }),
).map(dropUndefined);

const fieldsArb = record({
  nodeName: oneOf('n1', 'n2', 'east/n3'), nodeLabels: maybe(fc.constant(['zone=a', 'kubernetes.io/hostname=n1'])), direction: oneOf('INGRESS', 'EGRESS', 'UNKNOWN'), isReply: maybe(fc.boolean()),
  ethernet: maybe(fc.constant({ source: '02:00:00:00:00:01', destination: '02:00:00:00:00:02' })), sourceXlated: maybe(oneOf('172.30.0.1', '10.0.0.1')), encrypted: maybe(fc.constant(true)),
  tunnel: maybe(oneOf({ protocol: 'VXLAN', source: '172.30.0.1', destination: '172.30.0.2', vni: 7 }, { protocol: 'GENEVE', source: 'fd00::1', destination: 'fd00::2' })),
  authType: maybe(oneOf('SPIRE', 'TEST_ALWAYS_FAIL')), traceId: maybe(oneOf('4bf92f3577b34da6a3ce929d0e0e4736', 'deadbeef')), ipTraceId: maybe(fc.integer({ min: 1, max: 2 ** 40 })),
  proxyPort: maybe(fc.integer({ min: 1, max: 65_535 })), file: maybe(oneOf({ name: 'bpf_pod.c', line: 317 })), socketCookie: maybe(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })), cgroupId: maybe(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })),
  egressAllowedBy: policiesArb, ingressAllowedBy: policiesArb, egressDeniedBy: policiesArb, ingressDeniedBy: policiesArb, connection: maybe(connectionArb), connectLatencyNs: maybe(fc.integer({ min: 1, max: 2 ** 42 })), inKernel: maybe(fc.constant(true)),
  service: maybe(record({ namespace, name: word, ip: oneOf('10.96.0.10'), port: fc.nat(65_535) })), rule: maybe(ruleArb), shadow: maybe(oneOf('allow', 'deny')),
  summary: oneOf('TCP Flags: SYN', 'UDP', '', 'ICMPv4 EchoRequest'), interfaceName: maybe(oneOf('eth0', 'lxc12')), interfaceIndex: maybe(fc.integer({ min: 1, max: 40 })), id: word,
});

export const flowArb: fc.Arbitrary<FlowView> = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 4_000_000_000 }), fc.nat(999_999_999), fc.boolean(), fieldsArb, kindArb, layer4Arb)
  .chain(([six, seconds, nanos, packetless, fields, kind, layer4]) => {
    const ip = six ? ipv6Arb : ipv4Arb;
    const time = `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${String(nanos).padStart(9, '0')}Z`;
    return fc.tuple(endpointArb(ip), endpointArb(ip)).map(([source, destination]) => {
      const flow = { ...dropUndefined(fields), ...kind, ...layer4, time, seconds, nanos, packetless, source, destination, ipVersion: six ? 'IPv6' : 'IPv4', isReply: fields.isReply } as unknown as Flow & FlowView;
      // A shadow verdict is asked of other policies: it has no match of its own.
      return flow.shadow === undefined ? flow : dropUndefined({ ...flow, policyMatch: undefined, isReply: fields.isReply ?? false });
    });
  });

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as T;
}
