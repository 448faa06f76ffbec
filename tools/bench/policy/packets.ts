/**
 * What a new connection costs in the kernel programs (BPF_PROG_TEST_RUN of from_pod, both ends on the node: egress and ingress policy are
 * asked) with few and with many policies. Each cell has programs and maps of its own; each packet is a connection that nobody has seen,
 * run once in every cell in turn; an empty program's time is taken off. Prints JSON.
 *
 *     packets.ts PODS NAMESPACES POLICIES LOCAL ROUNDS
 */
import { PolicySets } from '../../../src/features/policy/sets.ts';
import { PolicyEngine } from '../../../src/policy/compile.ts';
import { parsePolicy } from '../../../src/policy/parse.ts';
import type { Policy } from '../../../src/policy/policy.ts';
import { addPrefixIdentities, clusterPodLabels, clusterPolicy, clusterSubject, namespaceName, type PolicyObject } from '../../../src/policy/testing-size.ts';
import { Datapath, families, id, mac } from '../../../tests/programs/harness.ts';
import { buildFrame, macBytes } from '../../../tests/programs/packet.ts';
import { emptyProgram } from './empty-program.ts';
import { median, quantile } from './statistics.ts';

const [pods, namespaces, policies, local, rounds] = process.argv.slice(2).map(Number) as [number, number, number, number, number];
const connections = 500;
const port = 8080;
const family = families[0]!;
/** Two pods of one namespace: the first is a front, which its policy lets in at 8080. */
const [client, server] = [2, 2 + namespaces];

function parsed(object: PolicyObject): Policy {
  const { policy, errors } = parsePolicy(object);
  if (!policy) throw new Error(errors.map(error => `${error.path}: ${error.message}`).join('; '));
  return policy;
}

interface Cell {
  readonly name: string;
  readonly datapath: Datapath;
  readonly sets: number;
}

function makeCell(name: string, given: readonly Policy[], podCount: number, localCount: number): Cell {
  const engine = new PolicyEngine();
  engine.setPolicies(given);
  addPrefixIdentities(engine);
  for (const i of new Set([client, server, ...Array.from({ length: podCount }, (_, k) => k)])) engine.upsertIdentity(256 + i, clusterPodLabels(i, namespaces));
  const datapath = new Datapath();
  const sets = new PolicySets({ classes: datapath.maps.policyClasses, verdicts: datapath.maps.policyVerdicts });
  const load = (i: number) => ({ ingressSet: sets.ensure(engine.compile(clusterSubject(i, namespaces), 'ingress')).id, egressSet: sets.ensure(engine.compile(clusterSubject(i, namespaces), 'egress')).id });
  for (let k = 0; k < localCount; k++) load((k * 7919) % podCount);
  datapath.endpoint(family.a, { identity: 256 + client, ...load(client) });
  datapath.endpoint(family.b, { id: id.b, identity: 256 + server, mac: macBytes(mac.b), hostMac: macBytes(mac.hostB), ...load(server) });
  return { name, datapath, sets: sets.size };
}

/** One pod's thousand: each allows the port of its number to those who bear its label; the last allows everybody at the port that is asked. */
function onOnePod(count: number): Policy[] {
  const labels = clusterPodLabels(server, namespaces);
  return Array.from({ length: count }, (_, k) => parsed({
    apiVersion: 'cilium.io/v2', kind: 'CiliumNetworkPolicy', metadata: { name: `one-${k}`, namespace: namespaceName(server % namespaces) },
    spec: {
      endpointSelector: { matchLabels: { app: labels.get('k8s', 'app')! } },
      ingress: [k === count - 1 ? { fromEndpoints: [{ matchLabels: { tier: 'front' } }], toPorts: [{ ports: [{ port: String(port), protocol: 'TCP' }] }] }
        : { fromEndpoints: [{ matchLabels: { [`label-${k}`]: 'x' } }, { matchLabels: { tier: 'front' } }], toPorts: [{ ports: [{ port: String(20_000 + 2 * k), protocol: 'TCP' }] }] }],
    },
  }));
}

const cluster = (count: number) => Array.from({ length: count }, (_, i) => parsed(clusterPolicy(i, namespaces)));
const cells = [
  makeCell('none', [], 100, 0), makeCell('none again', [], 100, 0), makeCell('1000 on one pod', onOnePod(1_000), 100, 0),
  makeCell('10 in the cluster', cluster(10), 100, 10), makeCell('10 again', cluster(10), 100, 10), makeCell(`${policies} in the cluster`, cluster(policies), pods, local),
];
const empty = emptyProgram();

const frame = (sourcePort: number) => buildFrame({ sourceMac: mac.a, destinationMac: mac.host, source: family.a, destination: family.b, protocol: 'tcp', sourcePort, destinationPort: port, flags: 'S' });
for (const { name, datapath } of cells) {
  const { action, reason } = datapath.send('from_pod', frame(1_000));
  if (action !== 'redirect') throw new Error(`${name}: the packet is not delivered but ${action} ${reason ?? ''}`);
}

/** Medians of one round, by cell, net of the empty program. */
function round(number: number): Map<string, number> {
  const samples = new Map<string, number[]>([...cells.map(cell => [cell.name, []] as [string, number[]]), ['empty', []]]);
  for (let k = 0; k < connections; k++) {
    const data = frame(2_000 + k);
    samples.get('empty')!.push(empty.testRun({ data }).durationNs);
    for (let i = 0; i < cells.length; i++) {
      const { name, datapath } = cells[(i + k + number) % cells.length]!;
      samples.get(name)!.push(datapath.nanoseconds('from_pod', data, 1));
    }
  }
  for (const { datapath } of cells) {
    // Reads the events, so that the next round's find room, and makes its connections new again.
    datapath.run('from_pod', frame(1_000));
    for (const [key] of [...datapath.maps.conntrack.entries()]) datapath.maps.conntrack.delete(key);
  }
  const base = median(samples.get('empty')!);
  return new Map([...samples].map(([name, list]) => [name, name === 'empty' ? base : median(list) - base]));
}

round(0);
const measured = Array.from({ length: rounds }, (_, i) => round(i + 1));
const ratio = (name: string, to: string) => {
  const list = measured.map(one => one.get(name)! / one.get(to)!);
  return { ratio: median(list), low: quantile(list, 0.25), high: quantile(list, 0.75) };
};
process.stdout.write(JSON.stringify({
  rounds, connections, emptyNs: median(measured.map(one => one.get('empty')!)),
  cells: cells.map(({ name, sets, datapath }) => ({ name, sets, rows: datapath.maps.policyVerdicts.count(), classes: datapath.maps.policyClasses.count(), ns: median(measured.map(one => one.get(name)!)) })),
  ratios: {
    'A/A, none': ratio('none again', 'none'), 'A/A, 10': ratio('10 again', '10 in the cluster'),
    '1000 on one pod / none': ratio('1000 on one pod', 'none'), [`${policies} / 10 in the cluster`]: ratio(`${policies} in the cluster`, '10 in the cluster'),
  },
}));
for (const { datapath } of cells) datapath.close();
