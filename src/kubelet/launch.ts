/** From a container of a pod to a running process: image, environment, mounts, files, bundle. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { buildBundle } from './bundle.ts';
import type { Mount } from './bundle.ts';
import { shortUid } from './context.ts';
import type { Dependencies } from './context.ts';
import { buildEnv, expand } from './env.ts';
import type { PodFacts } from './env.ts';
import { hostnameOf, hostsFile, resolvConf } from './hostfiles.ts';
import { echoInContainer } from './images.ts';
import type { ResolvedImage } from './images.ts';
import type { Data } from './objects.ts';
import type { ContainerRecord, PodRecord } from './record.ts';
import { turnLog } from './runtime.ts';
import type { Started } from './runtime.ts';
import type { Container, Pod, StringMap } from './types.ts';
import { containerMounts } from './volumes.ts';
import type { VolumePaths } from './volumes.ts';

export interface Launch {
  readonly pod: Pod;
  readonly container: Container;
  readonly image: ResolvedImage;
  readonly record: PodRecord;
  readonly volumes: VolumePaths;
}

export function factsOf(pod: Pod, record: PodRecord, d: Dependencies): PodFacts {
  return { pod, podIPs: record.sandbox?.ips ?? [], hostIPs: d.node.hostIPs, nodeName: d.node.name, capacity: d.node.capacity };
}

/** `NS_POD_CONTAINER_SHORTUID_ATTEMPT`, in the characters that runc takes. */
export function containerId(pod: Pod, name: string, attempt: number): string {
  const part = (text: string) => text.replace(/[^A-Za-z0-9.-]/g, '-').slice(0, 60);
  return `${part(pod.metadata.namespace ?? 'default')}_${part(pod.metadata.name)}_${part(name)}_${shortUid(pod.metadata.uid ?? '')}_${attempt}`;
}

export function bundleDir(record: PodRecord, name: string, attempt: number, d: Dependencies): string {
  return `${d.store.dir(record.uid)}/run/${name}-${attempt}`;
}

export function cgroupPath(uid: string, name: string, attempt: number, d: Dependencies): string {
  return `${d.node.cgroupBase}/${uid}/${name}-${attempt}`;
}

export function logPath(uid: string, name: string, d: Dependencies): string {
  return `${d.store.dir(uid)}/${name}.log`;
}

/** Starts this attempt. Throws ConfigError before, StartError from runc. */
export async function launch(what: Launch, c: ContainerRecord, d: Dependencies): Promise<Started> {
  const { pod, container, image, record, volumes } = what;
  const env = await environment(what, d);
  const sandbox = record.sandbox!;
  const mounts = [...podFiles(pod, record, d), ...terminationLog(what, d), ...imageMounts(image, d), ...containerMounts(pod, container, volumes, text => expand(text, env))];
  const config = buildBundle({
    pod,
    container,
    argv: image.argv.map(word => expand(word, env)),
    env,
    hostname: hostnameOf(pod),
    netns: sandbox.netns,
    ipcns: sandbox.ipcns,
    cgroupPath: cgroupPath(record.uid, container.name, c.attempt, d),
    // The pod's own mounts win over ours at the same place.
    mounts: mounts.filter((m, i) => !mounts.slice(i + 1).some(later => later.destination === m.destination)),
    hidden: d.node.hidden,
    userOf: d.node.userOf,
  });
  const log = logPath(record.uid, container.name, d);
  if (c.attempt > 0) turnLog(log);
  return d.runtime.start({ id: c.id, bundle: bundleDir(record, container.name, c.attempt, d), config, log });
}

/** What the container wrote for whoever asks why it ended, at most 4 KiB; or the end of its log where it asked for that. */
export function terminationMessage(container: Container | undefined, c: ContainerRecord, record: PodRecord, failed: boolean, d: Dependencies): string | undefined {
  const text = readTail(terminationFile(record, c.name, d), 4096);
  if (text) return text;
  const fromLog = failed && container?.terminationMessagePolicy === 'FallbackToLogsOnError';
  return fromLog ? readTail(logPath(record.uid, c.name, d), 2048)?.replace(/^\S+ std(out|err) [FP] /gm, '') : undefined;
}

async function environment({ pod, container, record, image }: Launch, d: Dependencies): Promise<Map<string, string>> {
  const namespace = pod.metadata.namespace ?? 'default';
  const fetch = async (names: Iterable<string | undefined>, get: (name: string) => Promise<Data | undefined>) => {
    const found = new Map<string, StringMap | undefined>();
    for (const name of new Set(names)) if (name) found.set(name, textData(await get(name)));
    return found;
  };
  const env = container.env ?? [];
  const from = container.envFrom ?? [];
  const maps = await fetch([...env.map(e => e.valueFrom?.configMapKeyRef?.name), ...from.map(f => f.configMapRef?.name)], name => d.objects.configMap(namespace, name));
  const secrets = await fetch([...env.map(e => e.valueFrom?.secretKeyRef?.name), ...from.map(f => f.secretRef?.name)], name => d.objects.secret(namespace, name));
  const own: StringMap = image.builtIn
    ? { POD_NAME: pod.metadata.name, POD_NAMESPACE: namespace, NODE_NAME: d.node.name }
    : image.needs === 'sources' ? { CIRRI_DNS_IPS: d.node.dns.servers.join(',') } : {};
  return buildEnv(container, factsOf(pod, record, d), { configMap: name => maps.get(name), secret: name => secrets.get(name) }, { ...d.node.env, ...own });
}

/** /etc/hosts and /etc/resolv.conf: one pair for all containers of the pod. */
function podFiles(pod: Pod, record: PodRecord, d: Dependencies): Mount[] {
  const dir = `${d.store.dir(record.uid)}/etc`;
  mkdirSync(dir, { recursive: true, mode: 0o711 });
  writeFileSync(`${dir}/hosts`, hostsFile(pod, record.sandbox?.ips ?? [], d.node.dns.domain));
  writeFileSync(`${dir}/resolv.conf`, resolvConf(pod, d.node.dns, d.node.resolvConf()));
  writeFileSync(`${dir}/hostname`, `${hostnameOf(pod)}\n`);
  return ['hosts', 'resolv.conf', 'hostname'].map(name => ({ destination: `/etc/${name}`, source: `${dir}/${name}`, readOnly: false }));
}

function terminationLog({ container, record }: Launch, d: Dependencies): Mount[] {
  const file = terminationFile(record, container.name, d);
  mkdirSync(`${d.store.dir(record.uid)}/end`, { recursive: true, mode: 0o711 });
  writeFileSync(file, '', { mode: 0o666 });
  return [{ destination: container.terminationMessagePath ?? '/dev/termination-log', source: file, readOnly: false }];
}

function imageMounts(image: ResolvedImage, d: Dependencies): Mount[] {
  const { mounts, zoneDir } = d.node.sources;
  if (image.needs === 'sources') return [...mounts.map(path => ({ destination: path, source: path, readOnly: true })), { destination: '/zone', source: zoneDir, readOnly: true }];
  return image.builtIn ? [{ destination: echoInContainer, source: d.node.echoBinary, readOnly: true }] : [];
}

function terminationFile(record: PodRecord, name: string, d: Dependencies): string {
  return `${d.store.dir(record.uid)}/end/${name}`;
}

function readTail(path: string, bytes: number): string | undefined {
  try {
    const content = readFileSync(path);
    return content.subarray(Math.max(0, content.length - bytes)).toString('utf8') || undefined;
  } catch {
    return undefined;
  }
}

function textData(data: Data | undefined): StringMap | undefined {
  return data && Object.fromEntries(Object.entries(data).map(([key, value]) => [key, value.toString('utf8')]));
}
