import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildBundle, defaultCapabilities } from './bundle.ts';
import type { BundleInput } from './bundle.ts';
import type { Container, Pod, PodSpec } from './types.ts';

interface Config {
  readonly process: { readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: number[] }; readonly env: string[]; readonly capabilities: { readonly bounding: string[]; readonly effective: string[] }; readonly noNewPrivileges: boolean };
  readonly root: { readonly readonly: boolean };
  readonly mounts: readonly { readonly destination: string }[];
  readonly linux: { readonly resources: unknown; readonly namespaces: readonly { readonly type: string; readonly path?: string }[] };
}

function bundle(container: Partial<Container> = {}, spec: Partial<PodSpec> = {}, more: Partial<BundleInput> = {}): Config {
  const full: Container = { name: 'c', ...container };
  const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'n' }, spec: { containers: [full], ...spec } };
  return buildBundle({
    pod, container: full, argv: ['x'], env: new Map([['A', '1']]), hostname: 'p', netns: '/run/netns/x', ipcns: undefined, cgroupPath: '/i/n/pods/u/c-0', mounts: [], hidden: [],
    userOf: uid => (uid === 1000 ? { gid: 100, home: '/home/u' } : undefined), ...more,
  }) as Config;
}

test('root has the default capabilities, another user only the right to get them', () => {
  assert.deepEqual(bundle().process.capabilities.effective, [...defaultCapabilities]);
  const other = bundle({ securityContext: { runAsUser: 1000 } });
  assert.deepEqual([other.process.user.uid, other.process.user.gid, other.process.capabilities.effective], [1000, 100, []]);
  assert.ok(other.process.env.includes('HOME=/home/u'));
});

test('capabilities are dropped and added by name; those that reach the machine are never given', () => {
  const caps = (add: string[], drop: string[]) => bundle({ securityContext: { capabilities: { add, drop } } }).process.capabilities.bounding;
  assert.deepEqual(caps(['NET_ADMIN'], ['ALL']), ['CAP_NET_ADMIN']);
  assert.equal(caps([], ['NET_RAW']).includes('CAP_NET_RAW'), false);
  assert.deepEqual(caps(['SYS_MODULE', 'CAP_SYS_RAWIO'], ['ALL']), []);
});

test('runAsNonRoot refuses root', () => {
  assert.throws(() => bundle({}, { securityContext: { runAsNonRoot: true } }), /would run as root/);
  assert.equal(bundle({ securityContext: { runAsUser: 5 } }, { securityContext: { runAsNonRoot: true, fsGroup: 7 } }).process.user.additionalGids[0], 7);
});

test('outer mounts come before inner ones, the hiding before both', () => {
  const mount = (destination: string) => ({ destination, source: '/s', readOnly: true });
  const { mounts } = bundle({}, {}, { mounts: [mount('/a/b/c'), mount('/root/x'), mount('/a')], hidden: [{ path: '/root', kind: 'folder' }] });
  assert.deepEqual(mounts.slice(-4).map(m => m.destination), ['/root', '/a', '/root/x', '/a/b/c']);
});

test('limits become cgroup settings, and nothing is written where nothing is asked', () => {
  assert.deepEqual(bundle().linux.resources, {});
  assert.deepEqual(bundle({ resources: { limits: { cpu: '500m', memory: '64Mi' } } }).linux.resources, { memory: { limit: 64 * 2 ** 20 }, cpu: { quota: 50_000, period: 100_000 } });
});

test('containers of one pod share its IPC namespace when there is one', () => {
  assert.deepEqual(bundle().linux.namespaces.find(n => n.type === 'ipc'), { type: 'ipc' });
  assert.deepEqual(bundle({}, {}, { ipcns: '/x/ipc' }).linux.namespaces.find(n => n.type === 'ipc'), { type: 'ipc', path: '/x/ipc' });
});
