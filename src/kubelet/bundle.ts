/**
 * The runc configuration of a container. Pure: values in, the object of config.json out.
 *
 * The root is an overlay of the host's own / (made by cirri-shim in a mount namespace of its own), writable into a small
 * tmpfs, so mount points that do not exist on the host work and nothing of the host is ever written. On top come /proc, /dev,
 * /sys (read-only), fresh /run and /tmp, the pod's files and volumes. Folders with the host's secrets are hidden.
 */
import { CirriError } from '../std/errors.ts';
import type { Container, Pod, SecurityContext } from './types.ts';
import { parseQuantity } from './env.ts';

export interface Mount {
  readonly destination: string;
  readonly source: string;
  readonly readOnly: boolean;
}

export interface HiddenPath {
  readonly path: string;
  readonly kind: 'folder' | 'file';
}

export interface BundleInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly hostname: string;
  readonly netns: string;
  /** Shared by the containers of a pod; undefined: the container's own. */
  readonly ipcns: string | undefined;
  /** `/INSTANCE/NODE/pods/UID/NAME-ATTEMPT`, the same path in every hierarchy. */
  readonly cgroupPath: string;
  readonly mounts: readonly Mount[];
  /** Paths of the host that no container may read; only such as exist. */
  readonly hidden: readonly HiddenPath[];
  /** Of a user by number, for its home and groups; undefined when the host does not know it. */
  readonly userOf: (uid: number) => { readonly gid: number; readonly home: string } | undefined;
}

/** What containerd grants by default. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_MKNOD', 'CAP_NET_RAW', 'CAP_SETGID', 'CAP_SETUID', 'CAP_SETFCAP', 'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE', 'CAP_SYS_CHROOT', 'CAP_KILL', 'CAP_AUDIT_WRITE',
];

/** All capabilities that this machine can hand on; CAP_SYS_RESOURCE is left out, it is often missing from the bounding set. */
const everyCapability: readonly string[] = [
  ...defaultCapabilities, 'CAP_DAC_READ_SEARCH', 'CAP_LINUX_IMMUTABLE', 'CAP_NET_BROADCAST', 'CAP_NET_ADMIN', 'CAP_IPC_LOCK', 'CAP_IPC_OWNER',
  'CAP_SYS_PTRACE', 'CAP_SYS_ADMIN', 'CAP_SYS_NICE', 'CAP_SYS_TIME', 'CAP_LEASE', 'CAP_AUDIT_CONTROL', 'CAP_SYSLOG', 'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND', 'CAP_AUDIT_READ', 'CAP_PERFMON', 'CAP_BPF', 'CAP_CHECKPOINT_RESTORE',
];

/** Allowed to no container on a shared root: they reach the machine itself, not the pod. */
const refusedCapabilities: ReadonlySet<string> = new Set([
  'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_BOOT', 'CAP_MAC_ADMIN', 'CAP_MAC_OVERRIDE', 'CAP_SYS_RESOURCE', 'CAP_SYS_TTY_CONFIG', 'CAP_SYS_PACCT',
]);

export function buildBundle(input: BundleInput): object {
  const { pod, container } = input;
  const security: SecurityContext = container.securityContext ?? {};
  const user = userFor(pod, security, input.userOf);
  const capabilities = capabilitiesFor(security);
  // Without this a user other than root would lose what was granted at its first exec; as in Docker, only root holds them at once.
  const held = user.uid === 0 ? capabilities : [];
  const privileged = security.privileged === true;
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
      args: input.argv,
      env: envList(input.env, user.home, input.hostname),
      cwd: container.workingDir ?? '/',
      capabilities: { bounding: capabilities, effective: held, permitted: held, inheritable: [], ambient: [] },
      noNewPrivileges: security.allowPrivilegeEscalation === false,
    },
    root: { path: 'rootfs', readonly: security.readOnlyRootFilesystem === true },
    hostname: input.hostname,
    // The hiding comes before the pod's own mounts, which may lie in a hidden folder.
    mounts: [...systemMounts(privileged), ...input.hidden.map(hide), ...sorted(input.mounts).map(bind)],
    linux: {
      cgroupsPath: input.cgroupPath,
      namespaces: [
        { type: 'pid' }, { type: 'uts' }, { type: 'mount' },
        input.ipcns === undefined ? { type: 'ipc' } : { type: 'ipc', path: input.ipcns },
        { type: 'network', path: input.netns },
      ],
      resources: resourcesFor(container),
      ...(pod.spec.securityContext?.sysctls ? { sysctl: Object.fromEntries(pod.spec.securityContext.sysctls.map(s => [s.name, s.value])) } : {}),
      maskedPaths: privileged ? [] : maskedKernelPaths,
      readonlyPaths: privileged ? [] : ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

const maskedKernelPaths = [
  '/proc/acpi', '/proc/asound', '/proc/kcore', '/proc/keys', '/proc/latency_stats', '/proc/timer_list', '/proc/timer_stats', '/proc/sched_debug',
  '/proc/scsi', '/sys/firmware', '/sys/fs/bpf',
];

function systemMounts(privileged: boolean): object[] {
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=64k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'] },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=64m'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', privileged ? 'rw' : 'ro'] },
    // The host's sockets and namespaces stay out of sight; /var/run is a link to /run.
    { destination: '/run', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=755', 'size=16m'] },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', 'size=256m'] },
  ];
}

function bind(mount: Mount): object {
  return { destination: mount.destination, type: 'bind', source: mount.source, options: ['rbind', 'rprivate', mount.readOnly ? 'ro' : 'rw'] };
}

function hide({ path, kind }: HiddenPath): object {
  return kind === 'file'
    ? { destination: path, type: 'bind', source: '/dev/null', options: ['bind', 'ro'] }
    : { destination: path, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=755', 'size=1m'] };
}

/** A folder before what lies in it. */
function sorted(mounts: readonly Mount[]): Mount[] {
  return [...mounts].sort((a, b) => a.destination.split('/').length - b.destination.split('/').length);
}

function userFor(pod: Pod, security: SecurityContext, userOf: BundleInput['userOf']): { uid: number; gid: number; groups: number[]; home: string } {
  const shared = pod.spec.securityContext ?? {};
  const uid = security.runAsUser ?? shared.runAsUser ?? 0;
  if (uid === 0 && (security.runAsNonRoot ?? shared.runAsNonRoot)) {
    throw new CirriError('ERR_CONTAINER_CONFIG', 'container has runAsNonRoot and would run as root', { mend: 'set securityContext.runAsUser to a number other than 0' });
  }
  const known = userOf(uid);
  const gid = security.runAsGroup ?? shared.runAsGroup ?? known?.gid ?? 0;
  const groups = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup])];
  return { uid, gid, groups, home: known?.home ?? '/' };
}

function capabilitiesFor(security: SecurityContext): string[] {
  if (security.privileged) return [...everyCapability];
  const norm = (names: readonly string[] | undefined) => (names ?? []).map(n => (n.toUpperCase().startsWith('CAP_') ? n.toUpperCase() : `CAP_${n.toUpperCase()}`));
  const add = norm(security.capabilities?.add);
  const drop = norm(security.capabilities?.drop);
  const start = drop.includes('CAP_ALL') ? [] : add.includes('CAP_ALL') ? everyCapability : defaultCapabilities;
  const set = new Set(start.filter(c => !drop.includes(c)));
  for (const name of add) if (name !== 'CAP_ALL' && !refusedCapabilities.has(name) && /^CAP_[A-Z_]+$/.test(name)) set.add(name);
  return [...set];
}

function envList(env: ReadonlyMap<string, string>, home: string, hostname: string): string[] {
  const all = new Map([['PATH', '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], ['HOSTNAME', hostname], ['HOME', home], ...env]);
  return [...all].map(([name, value]) => `${name}=${value}`);
}

/** Only what the pod asks for: a limit that is not set costs no write in the cgroup tree. No rlimits and no oomScoreAdj: they need CAP_SYS_RESOURCE. */
function resourcesFor(container: Container): object {
  const limits = container.resources?.limits ?? {};
  const requests = container.resources?.requests ?? {};
  const periodUs = 100_000;
  const cpu = {
    ...(requests['cpu'] === undefined ? {} : { shares: Math.max(2, Math.round(parseQuantity(requests['cpu']) * 1024)) }),
    ...(limits['cpu'] === undefined ? {} : { quota: Math.max(1000, Math.round(parseQuantity(limits['cpu']) * periodUs)), period: periodUs }),
  };
  return {
    ...(limits['memory'] === undefined ? {} : { memory: { limit: Math.max(4 * 2 ** 20, Math.round(parseQuantity(limits['memory']))) } }),
    ...(Object.keys(cpu).length > 0 ? { cpu } : {}),
  };
}
