/**
 * Random clusters, biased to collisions: few labels, few namespaces, pods that share labels, addresses on both sides of every
 * prefix that policies name. And random changes, one object at a time.
 */
import { randomPolicy } from './generate-policy.ts';
import { ofKind, policiesOf } from './objects.ts';
import type { CidrGroup, Direction, EndpointSlice, KubeObject, Namespace, Node, Peer, Pod, Question, Service, Settings } from './objects.ts';
import type { Random } from './random.ts';

export const namespaces = ['x', 'y', 'z'] as const;
export const nodes = ['n1', 'n2'] as const;
/** Where the kernel's programs run: its pods are the subjects. */
export const here = 'n1';
export const reservedPeers = ['health', 'init', 'ingress', 'unmanaged', 'kube-apiserver'] as const;

/** Around the prefixes of generate-policy.ts, in and just out of them. */
export const outsideAddresses = [
  '10.1.0.7', '10.1.2.3', '10.1.2.4', '10.2.0.1', '10.200.0.1', '11.0.0.1', '192.0.2.9', '172.16.5.5', '8.8.8.8',
  'fd00:1::5', 'fd00:1:2::5', 'fd01::1', '2001:db8::9', '2001:db8:1::9',
] as const;

export const portNames = ['web', 'dns', 'metrics'] as const;
/** Numbers around which verdicts change. */
export const ports = [1, 52, 53, 54, 79, 80, 81, 82, 442, 443, 444, 1023, 1024, 8079, 8080, 8081, 9000, 32767, 32768, 65534, 65535] as const;

export function randomCluster(random: Random): KubeObject[] {
  const objects: KubeObject[] = [
    ...namespaces.map(name => randomNamespace(random, name)),
    ...nodes.map((name, i): Node => ({
      kind: 'Node', metadata: { name, labels: { zone: random.pick(['east', 'west']), ...(random.chance(0.5) && { role: 'worker' }) } },
      status: { addresses: [{ type: 'InternalIP', address: `172.30.0.1${i + 1}` }, { type: 'InternalIP', address: `fdc1::1${i + 1}` }] },
    })),
  ];
  for (let i = random.integer(3, 7); i > 0; i--) objects.push(randomPod(random, objects));
  for (let i = random.integer(0, 2); i > 0; i--) objects.push(...randomService(random, objects));
  for (let i = random.integer(0, 2); i > 0; i--) objects.push(randomGroup(random, i));
  for (let i = random.integer(1, 6); i > 0; i--) objects.push(randomPolicy(random, objects));
  if (!ofKind(objects, 'Pod').some(p => p.spec.nodeName === here)) ofKind(objects, 'Pod')[0]!.spec.nodeName = here;
  return withoutTwins(objects);
}

export function randomSettings(random: Random): Settings {
  return { mode: random.pick(['default', 'default', 'default', 'default', 'default', 'always', 'never'] as const), allowLocalhost: random.pick(['always', 'always', 'always', 'policy'] as const), nodeLabels: random.chance(0.7), provides: { proxy: random.chance(0.5) }, httpReader: random.pick(['proxy', 'proxy', 'kernel'] as const) };
}

function randomNamespace(random: Random, name: string): Namespace {
  return { kind: 'Namespace', metadata: { name, labels: { ...(random.chance(0.8) && { team: random.pick(['red', 'blue']) }), ...(random.chance(0.3) && { env: 'prod' }) } } };
}

function randomLabels(random: Random): Record<string, string> {
  return {
    ...(random.chance(0.9) && { app: random.pick(['a', 'b', 'c']) }),
    ...(random.chance(0.5) && { tier: random.pick(['front', 'back']) }),
    ...(random.chance(0.2) && { 'app.kubernetes.io/name': 'shop' }),
    ...(random.chance(0.1) && { 'pod-template-hash': 'a1' }),
    // What a pod says of itself that only the cluster may say.
    ...(random.chance(0.08) && { 'io.kubernetes.pod.namespace': random.pick(namespaces) }),
    ...(random.chance(0.08) && { 'io.cilium.k8s.namespace.labels.team': random.pick(['red', 'blue']) }),
    ...(random.chance(0.05) && { 'io.cilium.k8s.policy.serviceaccount': 'admin' }),
    ...(random.chance(0.05) && { host: '' }),
  };
}

function randomPod(random: Random, objects: readonly KubeObject[]): Pod {
  const taken = new Set(ofKind(objects, 'Pod').map(p => p.metadata.name));
  const number = Array.from({ length: 40 }, (_, i) => i + 10).find(n => !taken.has(`p${n}`))!;
  const nodeName = random.chance(0.7) ? here : 'n2';
  const third = nodeName === here ? 1 : 2;
  const names = portNames.filter(() => random.chance(0.4));
  return {
    kind: 'Pod', metadata: { name: `p${number}`, namespace: random.pick(namespaces), labels: randomLabels(random) },
    spec: {
      nodeName, ...(random.chance(0.2) && { serviceAccountName: 'admin' }),
      containers: [{ name: 'main', ports: names.map(name => ({ name, containerPort: random.pick([53, 80, 81, 8080]), protocol: random.pick(['TCP', 'TCP', 'UDP', 'SCTP']) })) }],
    },
    status: { podIPs: [{ ip: `10.244.${third}.${number}` }, { ip: `fd00:10:244:${third}::${number}` }] },
  };
}

function randomService(random: Random, objects: readonly KubeObject[]): KubeObject[] {
  const metadata = { name: random.pick(['front', 'back']), namespace: random.pick(namespaces), labels: { kind: random.pick(['web', 'db']) } };
  const selector = random.pick<Record<string, string> | undefined>([{ app: 'a' }, { app: 'b', tier: 'back' }, undefined]);
  const service: Service = { kind: 'Service', metadata, spec: selector ? { selector } : {} };
  if (selector) return [service];
  const pod = random.pick(ofKind(objects, 'Pod'));
  const addresses = random.list(1, 2, () => random.one<string>(() => random.pick(outsideAddresses), () => random.pick(outsideAddresses), () => pod.status.podIPs[0]!.ip));
  const slice: EndpointSlice = { kind: 'EndpointSlice', metadata: { ...metadata, name: `${metadata.name}-1`, labels: { 'kubernetes.io/service-name': metadata.name } }, endpoints: [{ addresses }] };
  return [service, slice];
}

function randomGroup(random: Random, index: number): CidrGroup {
  const externalCIDRs = random.list(0, 3, () => random.pick(['10.1.0.0/16', '10.0.0.0/8', '192.0.2.0/24', 'fd00::/8', '10.1.2.3/32', '2001:db8::/32']));
  return { kind: 'CiliumCIDRGroup', metadata: { name: index === 1 ? 'office' : 'partners', labels: { site: random.pick(['hq', 'branch']) } }, spec: { externalCIDRs } };
}

/** The cluster after one more change: something comes, goes, or is written anew. */
export function randomChange(random: Random, objects: readonly KubeObject[]): KubeObject[] {
  const policies = policiesOf(objects);
  const pods = ofKind(objects, 'Pod');
  return withoutTwins(random.one<KubeObject[]>(
    () => [...objects, randomPolicy(random, objects)],
    () => [...objects, randomPolicy(random, objects)],
    () => (policies.length > 1 ? without(objects, random.pick(policies)) : [...objects]),
    () => {
      const old = random.pick(pods);
      return replaced(objects, old, { ...old, metadata: { ...old.metadata, labels: randomLabels(random) } });
    },
    () => (pods.length < 12 ? [...objects, randomPod(random, objects)] : [...objects]),
    () => {
      const gone = random.pick(pods);
      return pods.some(p => p !== gone && p.spec.nodeName === here) ? without(objects, gone) : [...objects];
    },
    () => {
      const old = random.pick(ofKind(objects, 'Namespace'));
      return replaced(objects, old, randomNamespace(random, old.metadata.name));
    },
    () => [...objects, ...randomService(random, objects)],
    () => [...objects, randomGroup(random, random.integer(1, 2))],
    () => {
      const gone = random.pick(['CiliumCIDRGroup', 'Service', 'EndpointSlice']);
      return objects.filter(o => o.kind !== gone);
    },
  ));
}

function without(objects: readonly KubeObject[], gone: KubeObject): KubeObject[] {
  return objects.filter(o => o !== gone);
}

function replaced(objects: readonly KubeObject[], old: KubeObject, next: KubeObject): KubeObject[] {
  return objects.map(o => (o === old ? next : o));
}

/** Of objects of one name the last counts, as in the API; and of policies with one priority, whose order nobody defines. */
function withoutTwins(objects: readonly KubeObject[]): KubeObject[] {
  const named = [...new Map(objects.map(o => [`${o.kind}/${o.metadata.namespace ?? ''}/${o.metadata.name}`, o] as const)).values()];
  return [...new Map(named.map((o, i) => [orderOf(o) ?? i, o] as const)).values()];
}

function orderOf(object: KubeObject): string | undefined {
  return object.kind === 'AdminNetworkPolicy' || object.kind === 'ClusterNetworkPolicy' ? `${object.spec.tier ?? 'Admin'} ${object.spec.priority}` : undefined;
}

// ---- questions ----

/** Ports that some policy or pod writes, and their neighbours: where a verdict may change. */
/** Of which most rules on requests are. */
export const readPorts: readonly number[] = [80, 443, 53];

export function interestingPorts(objects: readonly KubeObject[]): readonly number[] {
  const found = new Set<number>(ports);
  for (const match of JSON.stringify(objects).matchAll(/"(?:port|endPort|containerPort|number|start|end|portNumber)":"?(\d+)/g)) for (const near of [-1, 0, 1]) found.add(Number(match[1]) + near);
  const all = [...found].filter(p => p > 0 && p <= 65535);
  // Where something is read, rules meet: as often as all others together.
  return /"(?:http|dns|serverNames)":\[/.test(JSON.stringify(objects)) ? [...all, ...all.map((_, i) => readPorts[i % readPorts.length]!)] : all;
}

export function randomQuestion(random: Random, objects: readonly KubeObject[], interesting: readonly number[]): Question {
  const pods = ofKind(objects, 'Pod');
  const subjects = pods.filter(p => p.spec.nodeName === here);
  const subject = random.chance(0.05) ? { node: here } : { pod: keyOf(random.pick(subjects)) };
  // Requests to pods, which are read in the kernel or by the proxy.
  const isRequest = random.chance(0.3) && /"http":\[/.test(JSON.stringify(objects));
  const direction: Direction = isRequest ? 'ingress' : random.pick(['ingress', 'egress']);
  const peer = random.one<Peer>(
    ...Array.from({ length: 6 }, () => () => ({ pod: keyOf(random.pick(pods)) })),
    ...Array.from({ length: 4 }, () => () => ({ outside: random.pick(outsideAddresses) })),
    () => ({ node: random.pick(nodes) }), () => ({ node: random.pick(nodes) }),
    () => ({ reserved: random.pick(reservedPeers) }),
  );
  if ('node' in subject && 'node' in peer && peer.node === subject.node) return randomQuestion(random, objects, interesting);
  if ('pod' in subject && 'pod' in peer && peer.pod === subject.pod) return randomQuestion(random, objects, interesting);
  const protocol = isRequest ? 6 : random.pick([6, 6, 6, 6, 17, 17, 132, 1, 58, 47]);
  const port = isRequest ? random.pick(readPorts) : protocol === 1 ? random.pick([0, 8, 13]) : protocol === 58 ? random.pick([128, 129, 139]) : protocol === 47 ? 0
    : random.chance(0.8) ? random.pick(interesting) : random.integer(1, 65535);
  const v6 = 'outside' in peer ? peer.outside.includes(':') : protocol === 58 || (protocol !== 1 && random.chance(0.5));
  return { subject, direction, peer, protocol, port, v6 };
}

function keyOf(pod: Pod): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`;
}
