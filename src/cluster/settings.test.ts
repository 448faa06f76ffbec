import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRecord } from '../model/cluster.ts';
import { defaultSettings } from '../model/settings.ts';
import { CirriError } from '../std/errors.ts';
import { makeRecord } from './record.ts';
import { changedSettings, choose, costsOf, defaultChoices, maglevSizes, settingNames, settingOf, settingText, whyFixed, type Choices } from './settings.ts';
import { isUpstreamName, otherNames, upstreamNames } from './upstream-names.ts';
import { parseValues } from './values-file.ts';
import { parseSet } from './values.ts';

const chosen = (...texts: string[]) => choose(defaultChoices, defaultChoices, texts.flatMap(parseSet));
const valueOf = (name: string, ...texts: string[]) => settingOf(chosen(...texts).choices, name);

function refusal(run: () => unknown): CirriError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof CirriError, String(error));
    return error;
  }
  assert.fail('was accepted');
}

/** One value of each setting that is not the default. */
const others: Readonly<Record<string, string>> = {
  'loadBalancer.mode': 'dsr', 'loadBalancer.algorithm': 'maglev', 'loadBalancer.acceleration': 'best-effort', 'loadBalancer.serviceNoBackendResponse': 'drop',
  'maglev.tableSize': '251', 'maglev.hashSeed': 'AAAAAAAAAAAAAAAA', 'nodePort.range': '30000,31000', 'nodePort.addresses': '172.30.0.0/16,fd00::/8', 'socketLB.hostNamespaceOnly': 'true',
  'sockmap.enabled': 'true', 'bpf.lbExternalClusterIP': 'true', 'bpf.lbSourceRangeAllTypes': 'true', 'bpf.lbMapMax': '4096', 'bpf.ctMax': '1200000', 'bpf.natMax': '65536', 'externalIPs.allowed': '192.0.2.0/24', 'dns.minTTL': '3600', 'dns.rejectResponse': 'nameError',
  'l7.http': 'kernel', 'l7.workers': '2', 'l7.spare': 'false', 'l7.maxConnections': '1000', 'l7.idleTimeoutSeconds': '60', 'l7.accessLog': '/var/log/cirri/access.log', 'l7.headers': 'user-agent,x-request-id',
  'localRedirectPolicies.addressMatcherCIDRs': '169.254.20.10', 'ipMasqAgent.enabled': 'true', 'ipMasqAgent.config.nonMasqueradeCIDRs': '10.0.0.0/8', 'ipMasqAgent.config.masqLinkLocal': 'true',
  'ipMasqAgent.config.masqLinkLocalIPv6': 'true', 'routingMode': 'native', 'policyEnforcementMode': 'always', 'policyAuditMode': 'true',
  'bpf.monitorAggregation': 'none', 'hubble.enabled': 'false', 'hubble.relay.enabled': 'false', 'hubble.relay.listenHost': '192.0.2.1', 'hubble.relay.listenPort': '4250', 'hubble.ui.enabled': 'false', 'hubble.metrics.enabled': 'drop', 'hubble.metrics.serviceMonitor.enabled': 'true',
  'hubble.eventBufferCapacity': '4095', 'hubble.tls.enabled': 'false', 'hubble.redact.enabled': 'true', 'hubble.redact.http.urlQuery': 'true', 'hubble.redact.http.userInfo': 'false', 'hubble.redact.http.headers.allow': 'host',
  'hubble.redact.http.headers.deny': 'cookie', 'hubble.history.enabled': 'false', 'hubble.history.days': '7', 'hubble.history.maxMegabytes': '512', 'hubble.export.filePath': '/var/log/flows.log', 'hubble.export.fileMaxSizeMb': '20',
  'hubble.export.fileMaxBackups': '2', 'hubble.export.fileCompress': 'true', 'hubble.export.allowlist': '[{"verdict":["DROPPED"]},{"source_pod":["shop/","bank/"]}]', 'hubble.export.denylist': '[{"source_pod":["kube-system/"]}]', 'hubble.export.fieldMask': 'time', 'hubble.export.otlpEndpoint': 'http://127.0.0.1:4318',
};

test('each setting can be chosen, changes nothing else, and null takes it back', () => {
  assert.deepEqual(Object.keys(others).sort(), [...settingNames].sort());
  for (const name of settingNames) {
    const { choices } = chosen(`${name}=${others[name]}`);
    assert.deepEqual(changedSettings(defaultChoices, choices), [name]);
    assert.equal(settingText(settingOf(choices, name)), others[name]);
    const back = choose(choices, defaultChoices, parseSet(`${name}=null`)).choices;
    assert.deepEqual(back, defaultChoices);
  }
});

test('what metrics and exporters could not use is refused with what to do', () => {
  const refusal = (set: string) => { try { chosen(set); } catch (error) { return (error as Error).message; } return ''; };
  assert.match(refusal('hubble.metrics.enabled={dns:quer}'), /metrics plugin dns: has no option "quer" \(did you mean query\?\)/);
  assert.match(refusal('hubble.export.allowlist=[{"verdct":["DROPPED"]}]'), /verdct/);
  assert.match(refusal('hubble.export.denylist=drops'), /drops is not JSON/);
  assert.match(refusal('hubble.export.fieldMask=a..b'), /"a\.\.b" is no path/);
  assert.match(refusal('hubble.export.filePath=flows.log'), /absolute path/);
  assert.match(refusal('hubble.export.otlpEndpoint=collector:4317'), /neither http nor https/);
});

test('every field of the settings can be chosen', () => {
  const leaves = (tree: object, path: string): string[] => Object.entries(tree).flatMap(([name, value]) => (typeof value === 'object' && value !== null && !Array.isArray(value) ? leaves(value as object, `${path}${name}.`) : [`${path}${name}`]));
  assert.deepEqual(leaves(defaultSettings, '').filter(name => !settingNames.includes(name)), []);
});

test('all settings together survive the record, and a record that knows none of them has the defaults', () => {
  const { choices } = chosen(...settingNames.map(name => `${name}=${others[name]}`));
  const record = makeRecord({ instance: 'x', version: '0', nodes: 1, subnet: 1, apiserverPort: 1, ...choices });
  const read = parseRecord(JSON.stringify(record));
  assert.deepEqual({ settings: read.settings, routing: read.routing, policyMode: read.policyMode, audit: read.audit } satisfies Choices, choices);
  const { settings: _, ...older } = record;
  assert.deepEqual(parseRecord(JSON.stringify(older)).settings, defaultSettings);
  assert.equal(parseRecord(JSON.stringify({ ...older, settings: { maglev: { tableSize: 509 } } })).settings.maglev.tableSize, 509);
});

test("--set is Helm's: commas part settings, braces and backslashes do not, and the last one wins", () => {
  assert.deepEqual(valueOf('nodePort.addresses', 'nodePort.addresses={10.0.0.0/8,fd00::/8}'), ['10.0.0.0/8', 'fd00::/8']);
  assert.deepEqual(valueOf('nodePort.range', 'nodePort.range=30000\\,31000'), [30000, 31000]);
  assert.deepEqual(valueOf('nodePort.range', 'nodePort.range=30000,31000,maglev.tableSize=509'), [30000, 31000]);
  assert.deepEqual(valueOf('maglev.tableSize', 'maglev.tableSize=251,loadBalancer.mode=dsr', 'maglev.tableSize=509'), 509);
  assert.match(refusal(() => parseSet('loadBalancer')).message, /KEY=VALUE/);
});

test('a values file is read with its lines, and --set comes after it', () => {
  const file = parseValues('values.yaml', 'kubeProxyReplacement: true\nloadBalancer:\n  mode: dsr\n  algorithm: maglev\nnodePort:\n  range: "30000,32000"\nipMasqAgent:\n  enabled: true\n  config:\n    nonMasqueradeCIDRs:\n      - 10.0.0.0/8\n');
  const { choices, warnings } = choose(defaultChoices, defaultChoices, [...file, ...parseSet('loadBalancer.mode=hybrid')]);
  assert.deepEqual(warnings, []);
  assert.deepEqual(changedSettings(defaultChoices, choices), ['loadBalancer.mode', 'loadBalancer.algorithm', 'nodePort.range', 'ipMasqAgent.enabled', 'ipMasqAgent.config.nonMasqueradeCIDRs']);
  assert.equal(choices.settings.loadBalancer.mode, 'hybrid');
  assert.equal(refusal(() => choose(defaultChoices, defaultChoices, parseValues('v.yaml', 'maglev:\n  tableSize: 4000\n'))).where, 'v.yaml:2');
  assert.equal(refusal(() => parseValues('v.yaml', 'a: 1\na: 2\n')).where, 'v.yaml:2');
  assert.match(refusal(() => parseValues('v.yaml', '- a\n')).message, /mapping/);
});

test("upstream's other spellings mean what they say", () => {
  assert.equal(valueOf('loadBalancer.serviceNoBackendResponse', 'serviceNoBackendResponse=drop'), 'drop');
  assert.equal(valueOf('routingMode', 'tunnel=disabled'), 'native');
  assert.equal(valueOf('bpf.ctMax', 'bpf.ctTcpMax=600000,bpf.ctAnyMax=300000'), 900_000);
  assert.equal(valueOf('bpf.ctMax', 'bpf.ctMax=5000,bpf.ctTcpMax=600000'), 5000);
  for (const name of Object.keys(otherNames)) assert.ok(isUpstreamName(name) || name === 'nonMasqueradeCIDRs' || settingNames.some(own => own.startsWith(`${name.split('.')[0]}.`)), name);
});

test('what upstream has and we have not is a warning by name; what is always so is silent when it is asked for', () => {
  assert.deepEqual(chosen('kubeProxyReplacement=true,bpf.masquerade=true,hubble.relay.replicas=2').warnings, ['--set hubble.relay.replicas: hubble.relay.replicas has no effect here: what it turns on is not built']);
  assert.match(chosen('kubeProxyReplacement=false').warnings[0]!, /is true here/);
  assert.match(chosen('loadBalancer.dsrDispatch=geneve').warnings[0]!, /is opt here/);
  assert.match(chosen('tunnel=geneve').warnings[0]!, /vxlan/);
  assert.match(chosen('ipMasqAgent.config.nonMasqueradeCIDRs=10.0.0.0/8').warnings[0]!, /ipMasqAgent.enabled/);
});

test('of a long values file each section is one sentence, and what is off is none', () => {
  const file = parseValues('v.yaml', 'MTU: 0\nhubble:\n  enabled: true\n  relay: { enabled: true, replicas: 2 }\n  ui: { enabled: true, baseUrl: "" }\n  tls: { auto: { method: helm } }\nencryption: { enabled: false, type: "" }\ntolerations: [ { operator: Exists } ]\nextraArgs: []\n');
  assert.deepEqual(choose(defaultChoices, defaultChoices, file).warnings, [
    'v.yaml:1: MTU has no effect here: what it turns on is not built',
    'v.yaml:4: hubble.relay.replicas, hubble.tls.auto.method have no effect here: what they turn on is not built',
    'v.yaml:8: tolerations has no effect here: what it turns on is not built',
  ]);
});

test('a name that nobody has is refused with the nearest', () => {
  for (const [wrong, right] of [['loadBalancer.algorthm', 'loadBalancer.algorithm'], ['loadbalancer.mode', 'loadBalancer.mode'], ['maglev.tablesize', 'maglev.tableSize'], ['hubbble.enabled', 'hubble.enabled'], ['policyAuditmode', 'policyAuditMode']] as const) {
    const error = refusal(() => chosen(`${wrong}=1`));
    assert.equal(error.mend, `did you mean ${right}?`, wrong);
    assert.equal(error.where, `--set ${wrong}`);
  }
  assert.equal(refusal(() => chosen('zzzzzz.y=1')).mend, 'cirri config view shows all');
});

test('values that cannot be are refused, with what they must be', () => {
  for (const [text, message] of [
    ['loadBalancer.mode=tunnel', /must be snat, dsr or hybrid, not "tunnel"/], ['maglev.tableSize=16384', /must be one of 251, 509/], ['maglev.hashSeed=abc', /12 bytes in base64/],
    ['nodePort.range=30000', /two ports/], ['nodePort.range=32000,30000', /two ports/], ['nodePort.range=30000,40000', /overlaps the ports of masqueraded/], ['nodePort.range=20000,31000', /overlaps the ports of the node/],
    ['nodePort.addresses=10.0.0.0/33', /prefixes/], ['nodePort.addresses=eth0', /prefixes/], ['bpf.ctMax=7', /1024 to/], ['socketLB.hostNamespaceOnly=perhaps', /true or false/], ['bpf.natMax=-5', /1024/],
  ] as const) assert.match(refusal(() => chosen(text)).message, message, text);
  for (const size of maglevSizes) assert.equal(valueOf('maglev.tableSize', `maglev.tableSize=${size}`), size);
});

test('a change that costs connections says so', () => {
  assert.deepEqual(costsOf(settingNames).map(text => text.split(':')[0]), ['bpf.ctMax', 'bpf.natMax']);
});

test('only the routing is fixed once a cluster is made', () => {
  assert.deepEqual(settingNames.filter(name => whyFixed(name) !== undefined), ['routingMode']);
  assert.equal(new Set(upstreamNames).size, upstreamNames.length);
});
