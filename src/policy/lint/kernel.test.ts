import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsAgainstKernel } from '../../model/settings.ts';
import { connect } from '../connection.ts';
import { resolveEnd } from '../ends.ts';
import { reasonsOf } from '../reasons.ts';
import { readScenario } from '../scenario.ts';
import type { ScenarioObject } from '../scenario.ts';
import { World } from '../world.ts';
import { lint } from './lint.ts';

const pod = (app: string): ScenarioObject => ({
  kind: 'Pod', metadata: { namespace: 'x', name: app, labels: { app } },
  spec: { containers: [{ name: 'c', ports: [{ name: 'web', containerPort: 80 }, { name: 'grpc-api', containerPort: 9000 }] }] }, status: { podIP: `10.244.0.${app.charCodeAt(0)}` },
});
const pods = [pod('a'), pod('b')];
const from = (app: string) => [{ matchLabels: { app } }];

function policy(name: string, http: readonly object[], { reader = 'kernel', port = '80', section = 'ingress', more = {} }: { reader?: string | null; port?: string; section?: 'ingress' | 'egress'; more?: object } = {}): ScenarioObject {
  const toPorts = [{ ports: [{ port, protocol: 'TCP' }], ...(http.length > 0 && { rules: { http } }), ...more }];
  return {
    apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name, namespace: 'x', ...(reader !== null && { annotations: { 'policy.cirri.io/l7-http': reader } }) },
    spec: { endpointSelector: { matchLabels: { app: section === 'ingress' ? 'a' : 'b' } }, [section]: [{ [section === 'ingress' ? 'fromEndpoints' : 'toEndpoints']: from(section === 'ingress' ? 'b' : 'a'), toPorts }] },
  };
}

const worldOf = (policies: readonly ScenarioObject[], httpReader: 'proxy' | 'kernel' = 'proxy') => new World(readScenario([...pods, ...policies].map(object => ({ object, place: () => '' })), { httpReader }));
const found = (...args: Parameters<typeof worldOf>) => lint(worldOf(...args)).filter(f => f.code.startsWith('kernel-') || f.code === 'unknown-annotation').map(f => [f.policy, f.code, f.severity, f.message] as const);
const many = Array.from({ length: 75 }, (_, i) => ({ path: `/a${i}` }));

test('what the kernel carries out is nothing to speak of', () => {
  assert.deepEqual(found([policy('p', [{ path: '/a' }])]), []);
  assert.deepEqual(found([policy('p', [{ path: '/a' }]), policy('q', [{ path: '/b' }]), policy('r', [{ path: '/c' }], { reader: 'proxy', port: '81' })]), []);
  assert.deepEqual(found([policy('p', many, { reader: 'proxy' }), policy('q', [{ path: '/b' }], { reader: null, port: '81' })]), []);
});

test('what it does not is told with the reason, louder where the policy asked', () => {
  const p = 'CiliumNetworkPolicy/x/p';
  const tooMany = 'the proxy carries it out, not the kernel: 75 rules; the kernel takes 64';
  assert.deepEqual(found([policy('p', many)]), [[p, 'kernel-unfit', 'warning', tooMany]]);
  assert.deepEqual(found([policy('p', many, { reader: null })], 'kernel'), [[p, 'kernel-unfit', 'info', tooMany]]);
  assert.match(found([policy('p', [{ headerMatches: [{ name: 'X', value: '1', mismatch: 'ADD' }] }])])[0]![3], /only the proxy changes header x \(ADD\)$/);
  assert.match(found([policy('p', [{ path: '/a' }]), policy('q', [{ path: '/b' }], { reader: 'proxy' })])[0]![3], /CiliumNetworkPolicy x\/q \(spec\.ingress\[0\]\.toPorts\[0\]\) says something for the same peers and port/);
  assert.deepEqual(found([policy('p', many.slice(0, 40)), policy('q', many.slice(40))]).map(([name, code]) => [name, code]), [[p, 'kernel-unfit'], ['CiliumNetworkPolicy/x/q', 'kernel-unfit']]);
  assert.match(found([policy('p', [{ path: '/a' }], { section: 'egress' })])[0]![3], /requests that pods get, not those that they send/);
  assert.match(found([policy('p', [], { more: {} })])[0]![3], /says nothing here: the policy has no rules on HTTP/);
});

test('clients whose requests are read where they leave are named, with the rule that reads them there', () => {
  const p = 'CiliumNetworkPolicy/x/p';
  const q = policy('q', [{ path: '/b' }], { section: 'egress', reader: null });
  const why = 'the proxy carries it out, not the kernel, for x/b: what the client sends is read there already, by CiliumNetworkPolicy x/q (spec.egress[0].toPorts[0])';
  assert.deepEqual(found([policy('p', [{ path: '/a' }]), q]), [[p, 'kernel-unfit', 'warning', why]]);
  assert.deepEqual(found([policy('p', [{ path: '/a' }], { reader: null }), q], 'kernel').filter(([name]) => name === p), [[p, 'kernel-unfit', 'info', why]]);
  // Another port, another server, another client, ports alone: these leave the kernel what it has.
  const elsewhere = (toPorts: object, to = 'a', by = 'b'): ScenarioObject => ({ ...q, spec: { endpointSelector: { matchLabels: { app: by } }, egress: [{ toEndpoints: from(to), toPorts: [toPorts] }, { toEndpoints: from('a') }] } });
  const rules = { rules: { http: [{ path: '/b' }] } };
  const at = (port: string) => ({ ports: [{ port, protocol: 'TCP' }] });
  for (const other of [elsewhere({ ...at('81'), ...rules }), elsewhere({ ...at('80'), ...rules }, 'b'), elsewhere({ ...at('80'), ...rules }, 'a', 'c'), elsewhere(at('80'))]) assert.deepEqual(found([policy('p', [{ path: '/a' }]), other]), []);
  // A wider range, and names of servers instead of requests: these do not.
  const wide = { ...q, spec: { endpointSelector: { matchLabels: { app: 'b' } }, egress: [{ toEndpoints: from('a'), toPorts: [{ ports: [{ port: '1', endPort: 65535, protocol: 'TCP' }], ...rules }] }] } };
  assert.deepEqual(found([policy('p', [{ path: '/a' }]), wide]), [[p, 'kernel-unfit', 'warning', why]]);
  const both = policy('p', [{ path: '/a' }]);
  const wider = { ...both, spec: { endpointSelector: { matchLabels: { app: 'a' } }, ingress: [{ fromEndpoints: from('b'), toPorts: [{ ports: [{ port: '70', endPort: 90, protocol: 'TCP' }], rules: { http: [{ path: '/a' }] } }] }] } };
  assert.deepEqual(found([wider, q]), [[p, 'kernel-unfit', 'warning', why]]);
  const names = { ...q, spec: { endpointSelector: { matchLabels: { app: 'b' } }, egress: [{ toEndpoints: from('a'), toPorts: [{ ...at('80'), serverNames: ['a.example'] }] }] } };
  assert.deepEqual(found([policy('p', [{ path: '/a' }]), names]).map(([, code]) => code), ['kernel-unfit']);
});

test('where the settings leave the kernel nothing, the reason is theirs', () => {
  const kernelUnable = settingsAgainstKernel({ headers: ['user-agent'] })!;
  const world = new World(readScenario([...pods, policy('p', [{ path: '/a' }])].map(object => ({ object, place: () => '' })), { kernelUnable }));
  assert.deepEqual(lint(world).filter(f => f.code.startsWith('kernel-')).map(f => f.message), ['the proxy carries it out, not the kernel: l7.headers is set, and only the proxy tells headers']);
  assert.equal(settingsAgainstKernel({ headers: [] }), undefined);
});

test('expressions that multiply are told of as such', () => {
  const findings = lint(worldOf([policy('p', Array.from({ length: 12 }, (_, i) => ({ path: `.*/w${i}x/.*` })))])).filter(f => f.code === 'kernel-unfit');
  assert.deepEqual(findings.map(f => [/the automaton of paths needs more than the \d+ rows that there is room for$/.test(f.message), /begin with \.\* multiply/.test(f.mend)]), [[true, true]]);
});

test('what would not pass there is warned of', () => {
  const codes = (...args: Parameters<typeof policy>) => found([policy(...args)]).map(([, code, severity]) => [code, severity]);
  assert.deepEqual(codes('p', [{ path: '/helloworld.Greeter/SayHello' }]), [['kernel-http2', 'warning']]);
  assert.deepEqual(codes('p', [{ path: '/api\\.v1\\.Shop/.*' }]), [['kernel-http2', 'warning']]);
  assert.deepEqual(codes('p', [{ path: '/v1.2/Items' }, { path: '/index.html' }]), []);
  assert.deepEqual(codes('p', [{}], { port: 'grpc-api' }), [['kernel-http2', 'warning']]);
  assert.deepEqual(codes('p', [{}], { port: '9000' }), [['kernel-http2', 'warning']]);
});

test('a connection says who reads, and a request is asked of the one who does', () => {
  const asked = (policies: readonly ScenarioObject[], path: string) => {
    const world = worldOf(policies);
    const [leg] = connect(world, resolveEnd(world, 'x/b', 'x'), resolveEnd(world, 'x/a', 'x'), { protocol: 6, port: 80 }, { http: { method: 'GET', path } }).legs;
    const step = leg!.steps.at(-1)!;
    return { reader: step.read?.reader, passes: step.request === 'passes', reasons: reasonsOf(world, step).join('; ') };
  };
  const kernel = policy('p', [{ path: '/a.*' }]);
  assert.deepEqual(asked([kernel], '/ab'), { reader: 'kernel', passes: true, reasons: 'the request passes; the kernel reads the requests' });
  assert.equal(asked([kernel], '/a%20').passes, true);
  assert.equal(asked([kernel], '/a/../b').passes, false);
  const long = `/a%20${'a'.repeat(600)}`;
  assert.deepEqual(asked([kernel], long), { reader: 'kernel', passes: false, reasons: 'the request is refused: path: it may be read in two ways, and the kernel does that only for paths up to 500 bytes and 30 segments; the kernel reads the requests' });
  assert.equal(asked([kernel], '/b').passes, false);
  assert.deepEqual(asked([policy('p', [{ path: '/a.*' }], { reader: 'proxy' })], long), { reader: 'proxy', passes: true, reasons: 'the request passes' });
  const twice = asked([kernel, policy('q', [{ path: '/a.*' }], { section: 'egress' })], long);
  assert.deepEqual(twice, { reader: 'proxy', passes: true, reasons: 'the request passes; the proxy reads the requests, not the kernel: what the client sends is read there already' });
  assert.match(asked([policy('p', [{ path: '/a' }, ...many])], '/a').reasons, /the proxy reads the requests, not the kernel: 76 rules; the kernel takes 64/);
});
