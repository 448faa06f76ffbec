import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '../../model/flow.ts';
import { flowFromJson } from '../jsonpb-read.ts';
import { createPrinter, type PrinterOptions } from './printer.ts';

const base: Flow = {
  time: '1970-01-01T00:20:34.567800000Z',
  nodeName: 'k8s1',
  verdict: 'DROPPED',
  type: 'drop',
  dropReason: 'Policy denied',
  dropReasonCode: 133,
  direction: 'UNKNOWN',
  isReply: false,
  ipVersion: 'IPv4',
  protocol: 'TCP',
  source: { ip: '1.1.1.1', identity: 4, id: 0, labels: [] },
  destination: { ip: '2.2.2.2', identity: 12345, id: 0, labels: [] },
  sourcePort: 31793,
  destinationPort: 8080,
  tcpFlags: ['SYN'],
  summary: 'TCP Flags: SYN',
  id: 'x',
};

function print(flows: readonly Flow[], options: PrinterOptions): string {
  const lines: string[] = [];
  const printer = createPrinter(options, line => lines.push(line));
  flows.forEach(flow => printer.flow(flow));
  printer.end();
  return lines.join('\n');
}

test("compact is Hubble's line", () => {
  assert.equal(
    print([base], { format: 'compact' }),
    'Jan  1 00:20:34.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN)',
  );
});

test('a reply is printed with the client on the left', () => {
  const { dropReason, dropReasonCode, ...rest } = base;
  const flow: Flow = { ...rest, type: 'trace', verdict: 'FORWARDED', isReply: true, observationPoint: 'to-endpoint', summary: 'TCP Flags: SYN, ACK' };
  assert.equal(
    print([flow], { format: 'compact', nodeNames: true }),
    'Jan  1 00:20:34.567 [k8s1]: 2.2.2.2:8080 (ID:12345) <- 1.1.1.1:31793 (health) to-endpoint FORWARDED (TCP Flags: SYN, ACK)',
  );
});

test('a policy verdict names the policy', () => {
  const { dropReason, dropReasonCode, ...rest } = base;
  const flow: Flow = {
    ...rest, type: 'policy-verdict', isReply: undefined, direction: 'EGRESS', policyMatch: 'none',
    rule: { id: 1, kind: 'CiliumNetworkPolicy', namespace: 'default', name: 'my-policy', path: 'spec.egressDeny[0]', effect: 'deny', because: '' },
  };
  assert.equal(
    print([flow], { format: 'compact', nodeNames: true, policyNames: true }),
    'Jan  1 00:20:34.567 [k8s1]: 1.1.1.1:31793 (health) <> 2.2.2.2:8080 (ID:12345) policy-verdict:none EGRESS DENIED BY my-policy (CiliumNetworkPolicy) (TCP Flags: SYN)',
  );
});

test('a drop under default deny names who turned it on, after the line that Hubble has', () => {
  const flow: Flow = { ...base, rule: { id: 1, kind: 'NetworkPolicy', namespace: 'payments', name: 'p', path: '', effect: 'default-deny', because: '' } };
  assert.equal(
    print([flow], { format: 'compact', policyNames: true }),
    'Jan  1 00:20:34.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) Policy denied DROPPED (TCP Flags: SYN) [rule payments/p: default deny]',
  );
});

test('the id to paste into policy explain: of denials, of all, or none', () => {
  const { dropReason, dropReasonCode, ...rest } = base;
  const allowed: Flow = { ...rest, id: 'node1-abc-2', type: 'trace', verdict: 'FORWARDED', observationPoint: 'to-endpoint' };
  const denied = { ...base, id: 'node1-abc-1' };
  const shown = (ids: 'none' | 'denied' | 'all') => print([denied, allowed, { ...denied, verdict: 'AUDIT', type: 'policy-verdict' }], { format: 'compact', ids }).split('\n').map(line => / \[flow (.*)\]$/.exec(line)?.[1]);
  assert.deepEqual(shown('denied'), ['node1-abc-1', undefined, 'node1-abc-1']);
  assert.deepEqual(shown('all'), ['node1-abc-1', 'node1-abc-2', 'node1-abc-1']);
  assert.deepEqual(shown('none'), [undefined, undefined, undefined]);
  assert.match(print([denied], { format: 'table', ids: 'all' }), /SUMMARY +FLOW\n.* node1-abc-1$/);
  assert.match(print([denied], { format: 'dict', ids: 'all' }), /\n +FLOW: node1-abc-1$/);
});

test("a connection's end says what passed, its first answer how long it took; under Hubble's name neither does", () => {
  const { dropReason, dropReasonCode, ...rest } = base;
  const flow: Flow = { ...rest, type: 'trace', verdict: 'FORWARDED', observationPoint: 'to-endpoint' };
  const closed: Flow = { ...flow, connection: { packetsOut: 1, bytesOut: 60, packetsBack: 12_285, bytesBack: 1_203_000, durationNs: 1_250_000_000, end: 'closed' } };
  const last = (of: Flow, ours = true) => print([of], { format: 'compact', ours }).split('FORWARDED ')[1];
  assert.equal(last(closed), '(TCP Flags: SYN) [closed: 1 packet 60 B out, 12,285 packets 1,203,000 B back in 1.3 s]');
  assert.equal(last({ ...flow, connectLatencyNs: 164_000 }), '(TCP Flags: SYN) [answered after 164 µs]');
  assert.equal(last(closed, false), '(TCP Flags: SYN)');
});

test('table', () => {
  assert.equal(
    print([base], { format: 'table' }),
    'TIMESTAMP             SOURCE          DESTINATION    TYPE            VERDICT   SUMMARY\n' +
    'Jan  1 00:20:34.567   1.1.1.1:31793   2.2.2.2:8080   Policy denied   DROPPED   TCP Flags: SYN',
  );
});

test('dict', () => {
  const entry = [
    '  TIMESTAMP: Jan  1 00:20:34.567',
    '       NODE: k8s1',
    '     SOURCE: 1.1.1.1:31793',
    'DESTINATION: 2.2.2.2:8080',
    '       TYPE: Policy denied',
    '    VERDICT: DROPPED',
    '    SUMMARY: TCP Flags: SYN',
  ].join('\n');
  assert.equal(print([base, base], { format: 'dict', nodeNames: true }), `${entry}\n------------\n${entry}`);
});

test('jsonpb has the names and values of flow.proto', () => {
  const json = JSON.parse(print([base], { format: 'jsonpb' })) as { flow: Record<string, unknown>; node_name: string; time: string };
  assert.equal(json.node_name, 'k8s1');
  assert.equal(json.time, '1970-01-01T00:20:34.567800Z');
  assert.deepEqual(json.flow['event_type'], { type: 1, sub_type: 133 });
  assert.deepEqual(json.flow['l4'], { TCP: { source_port: 31793, destination_port: 8080, flags: { SYN: true } } });
  assert.equal(json.flow['drop_reason_desc'], 'POLICY_DENIED');
  assert.deepEqual(json.flow['source'], { identity: 4 });
});

test('a shadow verdict says so, and by which policy, in lines and in JSON', () => {
  const { dropReason, dropReasonCode, ...rest } = base;
  const flow: Flow = {
    ...rest, type: 'policy-verdict', verdict: 'TRACED', shadow: 'deny', direction: 'INGRESS',
    rule: { id: 1, kind: 'CiliumNetworkPolicy', namespace: 'shop', name: 'strict', path: 'spec.ingressDeny[0]', effect: 'deny', because: '' },
  };
  const line = 'Jan  1 00:20:34.567: 1.1.1.1:31793 (health) -> 2.2.2.2:8080 (ID:12345) policy-verdict:shadow INGRESS DENIED by shadow policy shop/strict (TCP Flags: SYN)';
  assert.equal(print([flow], { format: 'compact' }), line);
  assert.equal(print([{ ...flow, shadow: 'allow' }], { format: 'compact' }), line.replace('DENIED', 'ALLOWED'));
  const json = JSON.parse(print([flow], { format: 'jsonpb' })) as { flow: Record<string, unknown> };
  const details = json.flow['cirri'] as { readonly shadow: string; readonly rule: { readonly name: string } };
  assert.deepEqual([json.flow['verdict'], details.shadow, details.rule.name, json.flow['ingress_denied_by']], ['TRACED', 'SHADOW_DENY', 'strict', undefined]);
  assert.match(print([flow], { format: 'compact', ours: false }), /policy-verdict:none INGRESS TRACED \(/, "under Hubble's name the words are Hubble's");
  assert.equal(flowFromJson(json).shadow, 'deny');
});

test('names come before addresses; IPv6 is bracketed; ICMP has no port; no control character gets through', () => {
  const { sourcePort, destinationPort, ...portless } = base;
  const pod: Flow = { ...base, source: { ...base.source, namespace: 'shop', podName: 'web\x1b[31m' }, destination: { ...base.destination, ip: 'fd00::1' } };
  const line = print([pod], { format: 'compact' });
  assert.ok(!line.includes('\x1b'));
  assert.match(line, /shop\/web\^\[\[31m:31793 \(health\) -> \[fd00::1\]:8080/);
  assert.match(print([{ ...portless, protocol: 'ICMPv4', summary: 'ICMPv4 EchoRequest' }], { format: 'compact' }), /1\.1\.1\.1 \(health\) -> 2\.2\.2\.2 \(ID/);
});
