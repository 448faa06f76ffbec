import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PolicyEngine } from './compile.ts';
import { explain, explainConnection } from './explain.ts';
import { ccnp, cnp, pod, subject } from './testing.ts';

const web = { id: 300, labels: pod('x', { app: 'web' }) };
const db = { id: 301, labels: pod('x', { app: 'db' }) };

function world() {
  const engine = new PolicyEngine();
  engine.setPolicies([
    ccnp('default-deny', { endpointSelector: {}, ingress: [{}], egress: [{}] }),
    cnp('db', 'x', { endpointSelector: { matchLabels: { app: 'db' } }, ingress: [{ fromEndpoints: [{ matchLabels: { app: 'web' } }], toPorts: [{ ports: [{ port: '5432', protocol: 'TCP' }] }] }] }),
    cnp('web', 'x', { endpointSelector: { matchLabels: { app: 'web' } }, egress: [{ toEndpoints: [{ matchLabels: { app: 'db' } }] }] }),
  ]);
  for (const { id, labels } of [web, db]) engine.upsertIdentity(id, labels);
  const end = (labels: typeof web.labels, direction: 'ingress' | 'egress') => {
    const one = subject(labels);
    return { set: engine.compile(one, direction), subject: one, rules: engine.rulesFor(one, direction) };
  };
  return { end };
}

test('an allowed connection names the rule at each end', () => {
  const { end } = world();
  const { verdict, steps } = explainConnection({ source: end(web.labels, 'egress'), destination: end(db.labels, 'ingress') }, { identity: 300, labels: web.labels }, { identity: 301, labels: db.labels }, 6, 5432);
  assert.equal(verdict, 'allow');
  assert.deepEqual(steps.map(s => `${s.rule?.name} ${s.rule?.path}`), ['web spec.egress[0]', 'db spec.ingress[0]']);
  assert.equal(steps[1]!.sentence, 'ingress from x/app=web on port 5432/TCP is allowed: CiliumNetworkPolicy x/db (spec.ingress[0]) allows ingress from endpoints app=web, k8s:io.kubernetes.pod.namespace=x on port 5432/TCP');
});

test('a default denial names the policies that turned it on and the rule that came closest', () => {
  const { end } = world();
  const wrongPort = explain(end(db.labels, 'ingress'), { identity: 300, labels: web.labels }, 6, 80);
  assert.equal(wrongPort.sentence, 'ingress from x/app=web on port 80/TCP is denied: CiliumClusterwideNetworkPolicy default-deny, CiliumNetworkPolicy x/db put the endpoint into default deny at ingress, and no rule allows this peer and port');
  assert.equal(wrongPort.nearest, 'closest: CiliumNetworkPolicy x/db (spec.ingress[0]) allows this peer, but only on port 5432/TCP');
  const wrongPeer = explain(end(db.labels, 'ingress'), { identity: 6 }, 6, 5432);
  assert.equal(wrongPeer.nearest, 'closest: CiliumNetworkPolicy x/db (spec.ingress[0]) allows this port, but only from endpoints app=web, k8s:io.kubernetes.pod.namespace=x');
});

test('allow-localhost and an open direction have their reasons', () => {
  const { end } = world();
  assert.match(explain(end(db.labels, 'ingress'), { identity: 1 }, 6, 80).sentence, /from reserved:host .* allowed: the node that a pod runs on may always reach it/);
  const open = new PolicyEngine();
  assert.match(explain({ set: open.compile(subject(web.labels), 'egress') }, { identity: 2 }, 17, 53).sentence, /egress to reserved:world on port 53\/UDP is allowed: no policy restricts the endpoint at egress/);
});
