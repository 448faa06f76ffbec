/** From the cluster record to the parts of a kubelet: the one place that knows where everything is. */
import { existsSync, mkdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import os from 'node:os';
import { dirname, join } from 'node:path';
import { addrAt, formatAddr, parsePrefix } from '../std/ip.ts';
import { CirriError } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import type { ClusterRecord, NodePaths, NodeRecord, StatePaths } from '../model/cluster.ts';
import { Cgroups, cgroupTrees } from './cgroups.ts';
import { Cni } from './cni.ts';
import type { Dependencies, NodeFacts, PodApi } from './context.ts';
import type { Traffic } from './traffic.ts';
import type { Recorder } from './events.ts';
import { Gate } from './gate.ts';
import type { ObjectSource } from './objects.ts';
import { RecordStore } from './record.ts';
import { Runtime } from './runtime.ts';

export interface Place {
  readonly cluster: ClusterRecord;
  readonly node: NodeRecord;
  readonly paths: StatePaths;
  /** Repository root: build/, src/. */
  readonly root: string;
}

export interface NodeLayout {
  readonly node: NodePaths;
  readonly runDir: string;
  readonly exitsDir: string;
  readonly volumesDir: string;
  readonly zoneFile: string;
  readonly cgroupBase: string;
  readonly podNetnsPrefix: string;
}

/** Names that `cirri down` needs too: nothing is made. */
export function layoutOf(paths: StatePaths, instance: string, nodeName: string): NodeLayout {
  const node = paths.node(nodeName);
  const runDir = dirname(node.kubeletSocket);
  return {
    node,
    runDir,
    exitsDir: `${runDir}/exits`,
    volumesDir: `${runDir}/volumes`,
    zoneFile: `${paths.state}/nodes/${nodeName}/dns/zone.json`,
    cgroupBase: `/${instance}/${nodeName}/pods`,
    podNetnsPrefix: `${node.netns}-`,
  };
}

export function assemble(place: Place, api: { readonly pods: PodApi; readonly objects: ObjectSource; readonly recorder: Recorder; readonly traffic: Traffic }, log: Logger): Dependencies {
  const { cluster, node, paths, root } = place;
  const layout = layoutOf(paths, cluster.instance, node.name);
  const cgroups = new Cgroups(cgroupTrees(readFileSync('/proc/self/mountinfo', 'utf8')));
  mkdirSync(cgroups.trees.unified + layout.cgroupBase, { recursive: true });
  mkdirSync(layout.volumesDir, { recursive: true, mode: 0o711 });
  mkdirSync(dirname(layout.zoneFile), { recursive: true, mode: 0o755 });
  const shim = builtProgram(root, 'cirri-shim');
  const runtime = new Runtime({
    shim, runc: findProgram('runc'), runcRoot: layout.node.runcRoot, exitsDir: layout.exitsDir, logMaxBytes: 10 << 20, scratchBytes: 256 << 20,
  }, cgroups);
  return {
    node: nodeFacts(place, layout),
    runtime,
    cni: new Cni({ confDir: layout.node.cniConfDir, binDirs: [paths.cniBinDir, join(root, 'build')] }),
    store: new RecordStore(layout.node.pods),
    objects: api.objects,
    api: api.pods,
    recorder: api.recorder,
    traffic: api.traffic,
    // A start is mostly runc's processor time: a few more than processors keeps them busy through its waits.
    starts: new Gate(os.availableParallelism() + 1),
    log,
  };
}

function nodeFacts({ cluster, node, paths, root }: Place, layout: NodeLayout): NodeFacts {
  const nodeBinary = realpathSync(process.execPath);
  return {
    name: node.name,
    instance: cluster.instance,
    hostIPs: [node.underlay4, node.underlay6],
    netns: layout.node.netns,
    podNetnsPrefix: layout.podNetnsPrefix,
    cgroupBase: layout.cgroupBase,
    dns: { servers: [cluster.dnsIp4], domain: cluster.clusterDomain },
    resolvConf: () => (existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : ''),
    capacity: { cpus: os.availableParallelism(), memoryBytes: os.totalmem() },
    hidden: hiddenPaths(paths.state),
    userOf: usersOf('/etc/passwd'),
    env: {
      KUBERNETES_SERVICE_HOST: firstService(cluster.serviceCidr4),
      KUBERNETES_SERVICE_PORT: '443',
      KUBERNETES_SERVICE_PORT_HTTPS: '443',
      KUBERNETES_PORT: `tcp://${firstService(cluster.serviceCidr4)}:443`,
    },
    echoBinary: builtProgram(root, 'cirri-echo'),
    // The mounts are always needed: a checkout below /tmp, /root or /home is hidden, one on another file system is not in the overlay.
    sources: { node: nodeBinary, dnsMain: join(root, 'src/kubelet/dns/main.ts'), mounts: [root, nodeBinary], zoneDir: dirname(layout.zoneFile) },
    volumesDir: layout.volumesDir,
  };
}

/** A container is root on a copy of the host's root: keys, password hashes and the state of all instances are not its business. */
function hiddenPaths(state: string): NodeFacts['hidden'] {
  const candidates = [state, '/var/lib/cirri', '/root', '/home', '/etc/shadow', '/etc/gshadow', '/etc/ssh', '/etc/ssl/private', '/var/lib/kubelet', '/etc/kubernetes'];
  const present = candidates.filter(path => existsSync(path));
  const outer = present.filter(path => !present.some(other => other !== path && path.startsWith(`${other}/`)));
  return outer.map(path => ({ path, kind: statSync(path).isDirectory() ? 'folder' as const : 'file' as const }));
}

function usersOf(file: string): NodeFacts['userOf'] {
  const users = new Map<number, { gid: number; home: string }>();
  for (const line of existsSync(file) ? readFileSync(file, 'utf8').split('\n') : []) {
    const [, , uid, gid, , home] = line.split(':');
    if (uid !== undefined && gid !== undefined && !users.has(Number(uid))) users.set(Number(uid), { gid: Number(gid), home: home || '/' });
  }
  return uid => users.get(uid);
}

function firstService(cidr: string): string {
  return formatAddr(addrAt(parsePrefix(cidr), 1));
}

function builtProgram(root: string, name: string): string {
  const path = join(root, 'build', name);
  if (!existsSync(path)) throw new CirriError('ERR_NOT_BUILT', `${path} is missing`, { mend: 'make -C native' });
  return path;
}

function findProgram(name: string): string {
  for (const dir of ['/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin', '/sbin', '/bin']) if (existsSync(`${dir}/${name}`)) return `${dir}/${name}`;
  throw new CirriError('ERR_NO_RUNC', `${name} is not installed`, { mend: `apt-get install ${name}` });
}
