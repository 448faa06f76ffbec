import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidrIdentityLabels, firstPrefixIdentity, identityLabels, reservedIdentities } from '../model/identity.ts';
import type { LabelSet } from '../model/labels.ts';
import { PolicyEngine } from './compile.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

/*
 * 1,000 policies in 50 namespaces, 5,000 identities, 200 distinct subjects: the size of a large cluster as one node sees
 * it. The bounds are several times what is measured on one core of the development machine; they catch a change of order.
 */
const namespaces = Array.from({ length: 50 }, (_, i) => `team-${i}`);
const app = (i: number) => `app-${i % 100}`;

function makePolicies(): Policy[] {
  return Array.from({ length: 1000 }, (_, i) => {
    const namespace = namespaces[i % 50]!;
    const other = namespaces[(i * 7) % 50]!;
    const result = parsePolicy({
      kind: 'CiliumNetworkPolicy', metadata: { name: `policy-${i}`, namespace },
      spec: {
        endpointSelector: i % 10 === 0 ? {} : { matchLabels: { app: app(i) } },
        ingress: [
          { fromEndpoints: [{ matchLabels: { app: app(i + 1) } }], toPorts: [{ ports: [{ port: String(8000 + (i % 50)), protocol: 'TCP' }, { port: '9000', endPort: 9000 + (i % 100), protocol: 'TCP' }] }] },
          { fromEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': other } }], toPorts: [{ ports: [{ port: '443', protocol: 'TCP' }] }] },
        ],
        egress: [
          { toEndpoints: [{}] },
          { toEndpoints: [{ matchLabels: { 'k8s:io.kubernetes.pod.namespace': 'kube-system', 'k8s-app': 'kube-dns' } }], toPorts: [{ ports: [{ port: '53' }] }] },
          { toCIDRSet: [{ cidr: `10.${i % 200}.0.0/16`, except: [`10.${i % 200}.4.0/24`] }] },
        ],
        egressDeny: [{ toCIDR: ['169.254.169.254/32'] }],
      },
    });
    assert.ok(result.policy);
    return result.policy;
  });
}

function podLabels(i: number): LabelSet {
  return identityLabels({ namespace: namespaces[i % 50]!, labels: { app: app(i), version: String(i) } }, { team: String(i % 50) }, 'default');
}

test('1,000 policies, 5,000 identities and 200 subjects compile in seconds, a new identity takes under a millisecond', t => {
  const policies = makePolicies();
  const engine = new PolicyEngine();
  const start = performance.now();
  engine.setPolicies(policies);
  const prefixes = engine.cidrPrefixes();
  engine.setIdentities([
    ...reservedIdentities.map(r => [r.id, r.labels] as const),
    ...Array.from({ length: 5000 }, (_, i) => [256 + i, podLabels(i)] as const),
    ...prefixes.map((p, i) => [firstPrefixIdentity + i, cidrIdentityLabels(p, prefixes)] as const),
  ]);
  const taken = performance.now();
  const subjects = Array.from({ length: 200 }, (_, i) => ({ labels: podLabels(i * 25 + (i % 25)), namedPorts: new Map() }));
  const sets = subjects.flatMap(s => [engine.compile(s, 'ingress'), engine.compile(s, 'egress')]);
  const compiled = performance.now();
  const rows = sets.reduce((n, s) => n + s.verdicts.length, 0);
  const classes = sets.reduce((n, s) => n + s.classes.size, 0);

  const fresh = Array.from({ length: 500 }, (_, i) => podLabels(5000 + i));
  const before = performance.now();
  let deltas = 0;
  let deltaRows = 0;
  for (const [i, labels] of fresh.entries()) {
    for (const delta of engine.upsertIdentity(20_000 + i, labels)) {
      deltas++;
      deltaRows += delta.rows.length;
    }
  }
  const perIdentity = (performance.now() - before) / fresh.length;

  const change = performance.now();
  engine.setPolicies(policies.slice(1));
  for (const s of subjects) for (const d of ['ingress', 'egress'] as const) engine.compile(s, d);
  const changed = performance.now() - change;

  t.diagnostic(`${prefixes.length} prefixes; identities ${(taken - start).toFixed(0)} ms, 400 sets ${(compiled - taken).toFixed(0)} ms (${new Set(sets.map(s => s.key)).size} distinct, ${rows} rows, ${classes} class entries)`);
  t.diagnostic(`a new identity ${perIdentity.toFixed(3)} ms (${(deltas / fresh.length).toFixed(1)} entries, ${deltaRows} new rows in all); one policy less, all sets again: ${changed.toFixed(0)} ms`);
  t.diagnostic(`heap ${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(0)} MiB`);
  assert.ok(compiled - start < 15_000);
  assert.ok(perIdentity < 1, `${perIdentity} ms`);
});
