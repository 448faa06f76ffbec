import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '../../model/flow.ts';
import type { Probe } from '../../policy/conformance/case.ts';
import { disagreement, judge, type EngineSays } from './judge.ts';

const probe = (expect: Probe['expect']): Probe => ({ from: { pod: 'a/x' }, to: { pod: 'b/y' }, port: 80, protocol: 'TCP', expect });
const drop = (dropReasonCode: number, dropReason: string) => ({ nodeName: 'node2', direction: 'INGRESS', dropReason, dropReasonCode, rule: { id: 7, kind: 'NetworkPolicy', namespace: 'b', name: 'p', path: 'spec.ingress[0]', effect: 'deny' } }) as unknown as Flow;
const denied = { outcome: 'silent', drop: drop(133, 'Policy denied') } as const;
const engine = (verdict: 'allow' | 'deny', notBuilt?: string, deniedBy?: ReturnType<EngineSays['deniedBy']>, isRead = false): EngineSays => ({ verdict: () => verdict, deniedBy: () => deniedBy, notBuilt: () => notBuilt, isRead: () => isRead });

test('allow is an answer and nothing else', () => {
  assert.equal(judge(probe('allow'), { outcome: 'allow' }, undefined), 'pass');
  assert.match(judge(probe('allow'), denied, undefined), /a\/x → b\/y 80\/TCP: expected allow, got dropped on node2: Policy denied \(NetworkPolicy b\/p spec\.ingress\[0\], ingress\)/);
  assert.match(judge(probe('allow'), { outcome: 'refused', reason: 'Connection refused' }, undefined), /got refused: Connection refused/);
});

test('deny is silence, of which an agent saw the drop, by policy', () => {
  assert.equal(judge(probe('deny'), denied, undefined), 'pass');
  assert.match(judge(probe('deny'), { outcome: 'allow' }, undefined), /expected deny, got an answer/);
  assert.match(judge(probe('deny'), { outcome: 'refused' }, undefined), /got refused/);
  assert.match(judge(probe('deny'), { outcome: 'silent' }, undefined), /no answer, and no agent saw a drop/);
  assert.match(judge(probe('deny'), { outcome: 'silent', drop: drop(132, 'Invalid source ip') }, undefined), /dropped on node2: Invalid source ip$/);
  assert.equal(judge(probe('deny'), { outcome: 'silent', dropsLost: true }, undefined), 'pass', 'the kernel says itself that it could not tell of every drop');
});

test('reject is an answer that says no', () => {
  assert.equal(judge(probe('reject'), { outcome: 'refused' }, undefined), 'pass');
  assert.match(judge(probe('reject'), denied, undefined), /expected reject/);
});

test('what is not built yet and fails closed is skipped with what the engine says of it; a denial for another reason is not', () => {
  assert.equal(judge(probe('allow'), denied, engine('allow', 'L7 needs the proxy')), 'skip: L7 needs the proxy');
  assert.match(judge(probe('allow'), denied, engine('allow')), /expected allow/);
  assert.match(judge(probe('allow'), { outcome: 'silent' }, engine('allow', 'L7 needs the proxy')), /expected allow/);
});

test('engine and datapath are compared whatever the case expects', () => {
  assert.equal(disagreement(probe('deny'), denied, engine('deny')), undefined);
  const rule = { kind: 'NetworkPolicy', namespace: 'b', name: 'p', path: 'spec.ingress[0]', effect: 'deny' } as const;
  assert.equal(disagreement(probe('deny'), denied, engine('deny', undefined, rule)), undefined);
  assert.match(disagreement(probe('deny'), denied, engine('deny', undefined, { ...rule, path: 'spec.ingress[1]' }))!, /the engine says by NetworkPolicy b\/p spec\.ingress\[1\] deny, the datapath by NetworkPolicy b\/p spec\.ingress\[0\] deny/);
  assert.match(disagreement(probe('allow'), { outcome: 'allow' }, engine('deny'))!, /the engine says deny, the datapath an answer/);
  assert.match(disagreement(probe('deny'), denied, engine('allow'))!, /the engine says allow, the datapath dropped on node2/);
  assert.equal(disagreement(probe('deny'), denied, engine('allow', 'L7 needs the proxy')), undefined);
});

test('a connection that the proxy took before the server was asked is no difference; one that nobody reads is', () => {
  const taken = { outcome: 'allow' } as const;
  assert.match(judge(probe('deny'), taken, engine('deny', undefined, undefined, true)), /^skip: the proxy takes the connection/);
  assert.equal(disagreement(probe('deny'), taken, engine('deny', undefined, undefined, true)), undefined);
  assert.match(judge(probe('deny'), taken, engine('deny')), /expected deny, got an answer/);
  assert.match(disagreement(probe('deny'), taken, engine('deny')) ?? '', /the engine says deny/);
});
