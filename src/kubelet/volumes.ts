/**
 * Volumes on disk. What comes from the API lies on the node's tmpfs and is replaced as a whole, readers see the old files or
 * the new ones (Kubernetes' atomic writer):
 *
 *     VOLUME/key ─► ..data/key        VOLUME/..data ─► ..1763673600123     (one rename swaps everything)
 */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ConfigError } from './env.ts';
import type { Mount } from './bundle.ts';
import { defaultTokenVolume, payloadOf, tokenMountPath } from './payload.ts';
import type { Payload, PayloadContext } from './payload.ts';
import type { Container, Pod, Volume, VolumeMount } from './types.ts';

export interface VolumeDirs {
  /** emptyDir on disk: `S/pods/NODE/UID/volumes`. */
  readonly disk: string;
  /** On the node's tmpfs: `S/run/NODE/volumes/UID`. */
  readonly memory: string;
}

/** Volume name → its folder (or file) on the host. */
export type VolumePaths = ReadonlyMap<string, string>;

/** The pod's volumes with the service-account one that nobody may have added. */
export function volumesOf(pod: Pod): readonly Volume[] {
  const volumes = pod.spec.volumes ?? [];
  const wantsToken = pod.spec.automountServiceAccountToken !== false;
  const mounted = pod.spec.containers.some(c => c.volumeMounts?.some(m => m.mountPath.replace(/\/$/, '') === tokenMountPath));
  return wantsToken && !mounted ? [...volumes, defaultTokenVolume()] : volumes;
}

/** Makes or refreshes every volume of the pod. Safe to call again and again. */
export async function prepareVolumes(pod: Pod, dirs: VolumeDirs, context: PayloadContext): Promise<VolumePaths> {
  const paths = new Map<string, string>();
  for (const volume of volumesOf(pod)) {
    const payload = await payloadOf(volume, context);
    if (payload) {
      const path = `${dirs.memory}/${volume.name}`;
      writePayload(path, payload, pod.spec.securityContext?.fsGroup);
      paths.set(volume.name, path);
    } else {
      paths.set(volume.name, plainVolume(pod, volume, dirs));
    }
  }
  return paths;
}

/** The mounts of one container, its own volume mounts and the token. */
export function containerMounts(pod: Pod, container: Container, paths: VolumePaths, expandPath: (text: string) => string = t => t): Mount[] {
  const mounts = (container.volumeMounts ?? []).map(mount => {
    const source = paths.get(mount.name);
    if (source === undefined) throw new ConfigError(`volumeMount "${mount.name}" names no volume of the pod`);
    return { destination: mount.mountPath, source: subPath(source, mount, expandPath), readOnly: mount.readOnly === true || isPayload(pod, mount.name) };
  });
  const token = paths.get(defaultTokenVolume().name);
  if (token !== undefined && existsSync(`${token}/token`) && !mounts.some(m => m.destination === tokenMountPath)) mounts.push({ destination: tokenMountPath, source: token, readOnly: true });
  return mounts;
}

export function removeVolumes(dirs: VolumeDirs): void {
  rmSync(dirs.disk, { recursive: true, force: true });
  rmSync(dirs.memory, { recursive: true, force: true });
}

function isPayload(pod: Pod, name: string): boolean {
  const volume = pod.spec.volumes?.find(v => v.name === name);
  return volume !== undefined && Boolean(volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected);
}

function plainVolume(pod: Pod, volume: Volume, dirs: VolumeDirs): string {
  if (volume.hostPath) return hostPath(volume.hostPath);
  if (!volume.emptyDir) {
    const kind = Object.keys(volume).find(key => key !== 'name') ?? 'nothing';
    throw new ConfigError(`volume "${volume.name}" is of kind ${kind}, which this node does not have`, 'use emptyDir, hostPath, configMap, secret, downwardAPI or projected');
  }
  const path = `${volume.emptyDir.medium === 'Memory' ? dirs.memory : dirs.disk}/${volume.name}`;
  if (!existsSync(path)) {
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o777);
    const group = pod.spec.securityContext?.fsGroup;
    if (group !== undefined) {
      chownSync(path, 0, group);
      chmodSync(path, 0o2777);
    }
  }
  return path;
}

function hostPath(source: { readonly path: string; readonly type?: string }): string {
  const { path, type = '' } = source;
  if (type === 'DirectoryOrCreate') mkdirSync(path, { recursive: true, mode: 0o755 });
  if (type === 'FileOrCreate' && !existsSync(path)) writeFileSync(path, '');
  if (!existsSync(path)) throw new ConfigError(`hostPath ${path} does not exist on the node`, 'set type: DirectoryOrCreate to have it made');
  return path;
}

/** A subPath may not lead out of its volume, through a link either: the resolved path is what gets mounted. */
function subPath(volume: string, mount: VolumeMount, expandPath: (text: string) => string): string {
  const sub = expandPath((mount as { subPathExpr?: string }).subPathExpr ?? mount.subPath ?? '');
  if (sub === '') return volume;
  if (sub.startsWith('/') || sub.split('/').includes('..')) throw new ConfigError(`subPath "${sub}" must be relative and stay in its volume`);
  const path = `${volume}/${sub}`;
  if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o777 });
  const real = realpathSync(path);
  if (real !== volume && !real.startsWith(realpathSync(volume) + '/')) throw new ConfigError(`subPath "${sub}" leads out of its volume`);
  return real;
}

function writePayload(dir: string, payload: Payload, group: number | undefined): void {
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  const current = existsSync(`${dir}/..data`) ? readlinkSync(`${dir}/..data`) : undefined;
  if (current !== undefined && samePayload(`${dir}/${current}`, payload)) return;
  const next = `..${Date.now()}${Math.floor(Math.random() * 1000)}`;
  mkdirSync(`${dir}/${next}`, { mode: 0o755 });
  for (const [path, file] of payload) {
    const target = `${dir}/${next}/${path}`;
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
    writeFileSync(target, file.content);
    chmodSync(target, group === undefined ? file.mode : file.mode | 0o040);
    if (group !== undefined) chownSync(target, 0, group);
  }
  symlinkSync(next, `${dir}/..data_tmp`);
  renameSync(`${dir}/..data_tmp`, `${dir}/..data`);
  linkNames(dir, payload);
  if (current !== undefined) rmSync(`${dir}/${current}`, { recursive: true, force: true });
}

/** The names that a reader sees: one link per first path element. */
function linkNames(dir: string, payload: Payload): void {
  const wanted = new Set([...payload.keys()].map(path => path.split('/')[0]!));
  for (const name of readdirSync(dir)) if (!name.startsWith('..') && !wanted.has(name)) rmSync(`${dir}/${name}`, { force: true });
  for (const name of wanted) if (!linkExists(`${dir}/${name}`)) symlinkSync(`..data/${name}`, `${dir}/${name}`);
}

function linkExists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function samePayload(dir: string, payload: Payload): boolean {
  const files = existsSync(dir) ? readdirSync(dir, { recursive: true, withFileTypes: true }).filter(e => e.isFile()).length : -1;
  if (files !== payload.size) return false;
  for (const [path, file] of payload) {
    const target = `${dir}/${path}`;
    if (!existsSync(target) || !readFileSync(target).equals(file.content)) return false;
  }
  return true;
}
