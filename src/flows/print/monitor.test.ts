import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { flowFromJson } from '../jsonpb-read.ts';
import { anyFlow } from '../testing-flows.ts';
import { monitorJson, monitorLines } from './monitor.ts';
import { safeJson } from './safe.ts';

const ends = {
  time: '2026-11-28T09:05:07Z', uuid: 'n1-x', node_name: 'n1', IP: { source: '10.0.0.1', destination: '10.0.0.2', ipVersion: 'IPv4' }, l4: { TCP: { source_port: 40000, destination_port: 80, flags: { SYN: true } } },
  source: { ID: 12, identity: 4711, labels: ['k8s:app=web'] }, destination: { ID: 34, identity: 2, labels: ['reserved:world'] }, Summary: 'TCP Flags: SYN',
};
const lineOf = (more: object, numeric = false) => monitorLines(flowFromJson({ ...ends, ...more }), { numeric, verbosity: 0 })[0]!;
const bare = (line: string) => line.replace(/flow 0x[0-9a-f]+/, 'flow 0x');

test('drops, traces and verdicts in the layout of cilium monitor', () => {
  assert.equal(bare(lineOf({ verdict: 'DROPPED', event_type: { type: 1, sub_type: 133 }, interface: { index: 6 } })),
    'xx drop (Policy denied) flow 0x to endpoint 34, ifindex 6, file unknown:0, , identity 4711->world: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN');
  assert.equal(bare(lineOf({ verdict: 'DROPPED', event_type: { type: 1, sub_type: 133 }, file: { name: 'bpf_lxc.c', line: 9 } }, true)),
    'xx drop (Policy denied) flow 0x to endpoint 34, ifindex 0, file bpf_lxc.c:9, , identity 4711->2: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN');
  assert.equal(bare(lineOf({ verdict: 'FORWARDED', event_type: { type: 4 }, trace_reason: 'NEW', interface: { name: 'lxc1' } })),
    '-> endpoint 34 flow 0x , identity 4711->world state new ifindex lxc1 orig-ip 0.0.0.0: 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN');
  for (const [point, head] of [[3, '-> stack'], [4, '-> overlay'], [5, '<- endpoint 12'], [9, '<- overlay'], [10, '<- network'], [11, '-> network'], [2, '-> host from']] as const) {
    assert.ok(lineOf({ event_type: { type: 4, sub_type: point } }).startsWith(`${head} flow`), head);
  }
  assert.equal(bare(lineOf({ verdict: 'DROPPED', event_type: { type: 5 }, traffic_direction: 'INGRESS', policy_match_type: 2 })),
    'Policy verdict log: flow 0x local EP ID 34, remote ID 4711, proto 6, ingress, action deny, auth: disabled, match L3-L4, 10.0.0.1:40000 -> 10.0.0.2:80 tcp SYN');
  assert.match(lineOf({ verdict: 'AUDIT', event_type: { type: 5 }, traffic_direction: 'EGRESS' }), /local EP ID 12, remote ID world, .* egress, action audit/);
});

test('requests, names, sockets', () => {
  assert.equal(lineOf({ verdict: 'FORWARDED', event_type: { type: 129 }, l7: { type: 'RESPONSE', http: { code: 200, method: 'GET', url: 'http://h/p', protocol: 'HTTP/1.1' } } }),
    '<- Response http from 12 ([k8s:app=web]) to 34 ([reserved:world]), identity 4711->world, verdict Forwarded GET http://h/p => 200');
  assert.match(lineOf({ verdict: 'FORWARDED', event_type: { type: 129 }, l7: { type: 'RESPONSE', dns: { query: 'a.b.', observation_source: 'proxy', qtypes: ['A'], ips: ['1.2.3.4'], ttl: 30 } } }), /DNS proxy: a\.b\. A TTL: 30 Answer: '1\.2\.3\.4'$/);
  assert.equal(lineOf({ event_type: { type: 7, sub_type: 1 }, sock_xlate_point: 'SOCK_XLATE_POINT_PRE_DIRECTION_FWD', cgroup_id: '123', socket_cookie: '456' }), 'CPU 00: [pre-xlate-fwd] cgroup_id: 123 sock_cookie: 456, dst [10.0.0.2]:80 tcp');
});

test('both ways of a connection have one hash, another connection another', () => {
  const hash = (more: object) => /flow (0x[0-9a-f]+)/.exec(lineOf({ event_type: { type: 4 }, ...more }))![1];
  assert.equal(hash({ IP: { source: '10.0.0.2', destination: '10.0.0.1' }, l4: { TCP: { source_port: 80, destination_port: 40000 } } }), hash({}));
  assert.notEqual(hash({ l4: { TCP: { source_port: 40001, destination_port: 80 } } }), hash({}));
});

test('V14: no control character of a flow reaches the terminal', () => {
  const hostile = fc.array(fc.constantFrom('\x1b[31m', '\x9b2J', '\r', '\n', '\x00', '\u202e', 'a'), { minLength: 1, maxLength: 5 }).map(parts => parts.join(''));
  // eslint-disable-next-line no-control-regex
  const unsafe = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/;
  fc.assert(fc.property(anyFlow(hostile), flow => {
    for (const text of [...monitorLines(flow, { numeric: false, verbosity: 2 }), safeJson(monitorJson({ ...flow, cgroupId: 1n }))]) assert.doesNotMatch(text, unsafe);
  }), { numRuns: 300 });
});
