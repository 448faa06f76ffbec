import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { waitFor } from '../std/async.ts';
import { logPath } from './launch.ts';
import { processStart } from './process.ts';
import { silentLogger } from '../std/log.ts';
import { TestNode, testInstance } from './testing.ts';

const shell = (script: string) => ({ image: 'tools', command: ['/bin/sh', '-c', script] });
const logOf = (node: TestNode, pod: string, container: string) => {
  const uid = node.kubelet.find('default', pod)!.uid;
  const path = logPath(uid, container, node.parts);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};
const logged = (node: TestNode, pod: string, container: string, text: string) => waitFor(`"${text}" in the log of ${pod}/${container}`, () => logOf(node, pod, container).includes(text));

describe('a pod on a node', () => {
  let node: TestNode;
  before(async () => {
    node = new TestNode();
    await node.start();
  });
  after(() => node.remove());

  test('cirri/echo runs, is ready, and answers inside its own network namespace', async () => {
    node.addPod('echo', { containers: [{ name: 'web', image: 'cirri/echo', ports: [{ containerPort: 8080 }] }] });
    const status = await node.untilReady('echo');
    assert.equal(status.phase, 'Running');
    assert.deepEqual(status.podIPs, [{ ip: '10.244.1.9' }, { ip: 'fd00:10:244:1::9' }]);
    const { sandbox } = node.kubelet.find('default', 'echo')!.record;
    const answer = JSON.parse(execFileSync('nsenter', [`--net=${sandbox!.netns}`, 'curl', '-s', '--retry', '3', '--retry-connrefused', 'http://127.0.0.1:8080/hi'], { encoding: 'utf8' })) as { pod: string; node: string };
    assert.equal(answer.pod, 'echo');
    assert.equal(answer.node, 'node1');
    assert.match(node.cniCalls()[0]!, new RegExp(`^ADD ${sandbox!.id} ${sandbox!.netns} eth0 IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=echo;K8S_POD_INFRA_CONTAINER_ID=${sandbox!.id};K8S_POD_UID=`));
  });

  test('its processes are in the node\'s cgroup2 tree, where socket programs see them', () => {
    const { pid } = node.kubelet.find('default', 'echo')!.containerRecord('web')!;
    assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(`^0::/${node.instance}/node1/pods/`, 'm'));
  });

  test('deleting it stops it, calls DEL, and leaves nothing behind', async () => {
    const { uid, record } = node.kubelet.find('default', 'echo')!;
    const { netns, id } = record.sandbox!;
    const { pid } = record.containers['web']!;
    node.deletePod('echo');
    await waitFor('the pod to be removed', () => node.api.removed.includes('echo'));
    await waitFor('the worker to end', () => node.kubelet.find('default', 'echo') === undefined);
    assert.equal(existsSync(netns), false);
    assert.equal(processStart(pid), undefined);
    assert.equal(existsSync(node.parts.store.dir(uid)), false);
    assert.equal(existsSync(`${node.parts.runtime.cgroups.trees.unified}${node.layout.cgroupBase}/${uid}`), false);
    assert.ok(node.cniCalls().some(call => call.startsWith(`DEL ${id} `)));
    assert.equal(node.api.events.some(e => e.reason === 'Killing'), true);
  });

  test('a command runs on the node\'s own root with its environment, files and names, and cannot write to the host', async () => {
    const marker = `/usr/${node.instance}-marker`;
    node.api.configMaps.set('settings', { colour: Buffer.from('teal') });
    node.api.secrets.set('keys', { 'a.key': Buffer.from('s3cret') });
    node.addPod('facts', {
      restartPolicy: 'Never',
      volumes: [{ name: 'config', configMap: { name: 'settings' } }, { name: 'keys', secret: { secretName: 'keys', defaultMode: 0o400 } }, { name: 'scratch', emptyDir: {} },
        { name: 'info', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } }],
      containers: [{
        name: 'main',
        ...shell(`hostname; echo "ip=$IP name=$NAME colour=$COLOUR expanded=$EXPANDED"; cat /etc/resolv.conf /etc/hosts; cat /srv/no/such/place/colour /etc/keys/a.key; ls -l /etc/keys/..data/; cat /info/labels; echo kept >/scratch/file;
          cat /var/run/secrets/kubernetes.io/serviceaccount/token; touch ${marker} && echo wrote; ls /root | wc -l; cat /etc/shadow | wc -c; cat /proc/1/comm; touch /sys/x 2>&1; id -u; grep CapEff /proc/self/status; echo done`),
        env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }, { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } }, { name: 'EXPANDED', value: '$(NAME)-$(COLOUR)-$$(NAME)-$(NONE)' }],
        volumeMounts: [{ name: 'config', mountPath: '/srv/no/such/place' }, { name: 'keys', mountPath: '/etc/keys' }, { name: 'scratch', mountPath: '/scratch' }, { name: 'info', mountPath: '/info' }],
      }],
    }, { labels: { app: 'facts' } });
    const status = await node.until('facts', 'over', s => s.phase === 'Succeeded');
    const log = logOf(node, 'facts', 'main').replace(/^\S+ std(out|err) F /gm, '');
    for (const expected of ['facts\n', 'ip=10.244.1.9 name=facts colour=teal expanded=facts-teal-$(NAME)-$(NONE)', 'nameserver 10.96.0.10', 'search default.svc.cluster.local svc.cluster.local cluster.local', 'options ndots:5',
      '10.244.1.9\tfacts', 'teal', 's3cret', '-r--------', 'app="facts"', 'a.test.token', 'wrote', 'Read-only file system', 'done']) {
      assert.ok(log.includes(expected), `"${expected}" is not in\n${log}`);
    }
    assert.match(log, /wrote\n0\n0\n/, 'the host\'s home of root and its password hashes are not to be seen');
    assert.equal(existsSync(marker), false, 'what it wrote into its root stayed there');
    assert.equal(status.containerStatuses![0]!.state.terminated!.exitCode, 0);
    assert.ok(node.api.events.some(e => e.about === 'facts' && e.reason === 'Pulled' && e.message.includes('is not pulled: running /bin/sh on the node\'s own root')));
  });

  test('a failing container restarts at once, then after a pause that is told', async () => {
    node.addPod('crash', { containers: [{ name: 'main', ...shell('echo run; echo why >/dev/termination-log; exit 3') }] });
    const status = await node.until('crash', 'in CrashLoopBackOff', s => s.containerStatuses?.[0]?.state.waiting?.reason === 'CrashLoopBackOff');
    const [main] = status.containerStatuses!;
    assert.equal(main!.restartCount, 1);
    assert.equal(main!.lastState.terminated!.exitCode, 3);
    assert.equal(main!.lastState.terminated!.message, 'why\n');
    assert.match(main!.state.waiting!.message!, /back-off 10s restarting failed container=main/);
    assert.ok(existsSync(`${logPath(node.kubelet.find('default', 'crash')!.uid, 'main', node.parts)}.1`), 'the log of the run before is kept');
    assert.equal(status.conditions!.find(c => c.type === 'Ready')!.status, 'False');
    node.deletePod('crash');
    await waitFor('it to go', () => node.api.removed.includes('crash'));
  });

  test('restartPolicy decides what becomes of the pod', async () => {
    node.addPod('never', { restartPolicy: 'Never', containers: [{ name: 'a', ...shell('exit 0') }, { name: 'b', ...shell('exit 7') }] });
    node.addPod('onfailure', { restartPolicy: 'OnFailure', containers: [{ name: 'a', ...shell('exit 0') }] });
    const never = await node.until('never', 'Failed', s => s.phase === 'Failed');
    assert.deepEqual(never.containerStatuses!.map(c => c.state.terminated?.exitCode), [0, 7]);
    await node.until('onfailure', 'Succeeded', s => s.phase === 'Succeeded');
    await waitFor('the network of ended pods to be given back', () => node.kubelet.find('default', 'never')!.record.sandbox === undefined);
  });

  test('init containers run one after the other before the main ones; a sidecar runs beside them', async () => {
    node.addPod('init', {
      volumes: [{ name: 'work', emptyDir: {} }],
      initContainers: [
        { name: 'first', ...shell('echo 1 >>/data/order'), volumeMounts: [{ name: 'work', mountPath: '/data' }] },
        { name: 'side', restartPolicy: 'Always', ...shell('echo side >>/data/order; exec sleep 1000'), volumeMounts: [{ name: 'work', mountPath: '/data' }] },
        { name: 'second', ...shell('until grep -q side /data/order; do sleep 0.02; done; echo 2 >>/data/order'), volumeMounts: [{ name: 'work', mountPath: '/data' }] },
      ],
      containers: [{ name: 'main', ...shell('echo main >>/data/order; cat /data/order; exec sleep 1000'), volumeMounts: [{ name: 'work', mountPath: '/data' }] }],
    });
    const status = await node.untilReady('init');
    await logged(node, 'init', 'main', 'main');
    assert.deepEqual(logOf(node, 'init', 'main').trim().split('\n').map(l => l.split(' ').at(-1)), ['1', 'side', '2', 'main']);
    assert.deepEqual(status.initContainerStatuses!.map(c => [c.name, c.ready]), [['first', true], ['side', true], ['second', true]]);
    node.deletePod('init', 1);
    await waitFor('it to go', () => node.api.removed.includes('init'));
  });

  test('containers of a pod share its network and IPC', async () => {
    node.addPod('two', { containers: [{ name: 'a', ...shell('readlink /proc/self/ns/net /proc/self/ns/ipc; exec sleep 1000') }, { name: 'b', ...shell('readlink /proc/self/ns/net /proc/self/ns/ipc; exec sleep 1000') }] });
    await node.untilReady('two');
    await logged(node, 'two', 'a', 'ipc:');
    await logged(node, 'two', 'b', 'ipc:');
    const namespaces = (name: string) => logOf(node, 'two', name).split('\n').filter(Boolean).map(l => l.split(' F ')[1]);
    assert.deepEqual(namespaces('a'), namespaces('b'));
  });

  test('readiness follows its probe, liveness restarts', async () => {
    node.addPod('probed', {
      terminationGracePeriodSeconds: 1,
      containers: [{
        // It lives until it is told otherwise: the first probe may come before the shell has done anything, and one may be slow.
        name: 'main', ...shell('trap "exit 0" TERM; while :; do sleep 0.1; done'),
        readinessProbe: { exec: { command: ['test', '-f', '/tmp/ready'] }, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 1 },
        livenessProbe: { exec: { command: ['test', '!', '-f', '/tmp/dead'] }, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 1 },
      }],
    });
    await node.until('probed', 'running', s => s.containerStatuses?.[0]?.state.running);
    assert.equal(node.status('probed')!.containerStatuses![0]!.ready, false);
    const c = node.kubelet.find('default', 'probed')!.containerRecord('main')!;
    await node.parts.runtime.exec(c.id, ['touch', '/tmp/ready']);
    await node.untilReady('probed');
    await node.parts.runtime.exec(c.id, ['touch', '/tmp/dead']);
    const status = await node.until('probed', 'restarted', s => s.containerStatuses?.[0]?.restartCount === 1);
    assert.ok(status);
    assert.ok(node.api.events.some(e => e.about === 'probed' && e.reason === 'Unhealthy' && e.message.startsWith('Liveness probe failed')));
    assert.ok(node.api.events.some(e => e.about === 'probed' && e.reason === 'Killing' && e.message.includes('will be restarted')));
    node.deletePod('probed', 1);
  });

  test('a container that does not mind SIGTERM is killed when its grace is over; preStop ran before', async () => {
    mkdirSync(`${node.state}/out`);
    node.addPod('stubborn', {
      volumes: [{ name: 'out', hostPath: { path: `${node.state}/out` } }],
      containers: [{
        name: 'main', ...shell('trap "" TERM; while :; do sleep 0.1; done'), volumeMounts: [{ name: 'out', mountPath: '/out' }],
        lifecycle: { preStop: { exec: { command: ['touch', '/out/prestop'] } } },
      }],
    });
    await node.untilReady('stubborn');
    const began = performance.now();
    // Of the grace preStop has all: to begin a process in a container may take a second.
    node.deletePod('stubborn', 3);
    await waitFor('it to go', () => node.api.removed.includes('stubborn'));
    assert.ok(performance.now() - began > 2_700);
    assert.ok(existsSync(`${node.state}/out/prestop`));
    assert.equal(node.status('stubborn')!.containerStatuses![0]!.state.terminated!.exitCode, 137);
  });

  test('an image that cannot be had says what to do', async () => {
    node.addPod('image', { containers: [{ name: 'main', image: 'busybox:1.36' }] });
    const status = await node.until('image', 'ImagePullBackOff', s => s.containerStatuses?.[0]?.state.waiting?.reason === 'ImagePullBackOff');
    assert.match(status.containerStatuses![0]!.state.waiting!.message!, /Give the container a command/);
    assert.equal(status.phase, 'Pending');
    node.deletePod('image', 1);
    await waitFor('it to go', () => node.api.removed.includes('image'));
  });

  test('a command that is not there is a StartError', async () => {
    node.addPod('nocommand', { restartPolicy: 'Never', containers: [{ name: 'main', image: 'x', command: ['/no/such/program'] }] });
    const status = await node.until('nocommand', 'Failed', s => s.phase === 'Failed');
    const end = status.containerStatuses![0]!.state.terminated!;
    assert.deepEqual([end.exitCode, end.reason], [128, 'StartError']);
    assert.match(end.message!, /no such file or directory/);
  });

  test('a missing ConfigMap is waited for', async () => {
    node.addPod('later', { containers: [{ name: 'main', ...shell('exec sleep 1000'), env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'later', key: 'x' } } }] }] });
    await node.until('later', 'waiting for its configuration', s => s.containerStatuses?.[0]?.state.waiting?.reason === 'CreateContainerConfigError');
    node.api.configMaps.set('later', { x: Buffer.from('1') });
    const status = await node.untilReady('later');
    assert.equal(status.containerStatuses![0]!.restartCount, 0);
  });

  test('a network plugin that refuses is asked again, and the pod starts when it agrees', async () => {
    writeFileSync(`${node.state}/fail`, 'not yet');
    node.addPod('nonet', { containers: [{ name: 'main', image: 'cirri/client' }] });
    await waitFor('the event', () => node.api.events.some(e => e.about === 'nonet' && e.reason === 'FailedCreatePodSandBox' && e.message.includes('not yet')));
    rmSync(`${node.state}/fail`);
    await node.untilReady('nonet');
  });

  test('a changed ConfigMap reaches the files of a running pod, all at once', async () => {
    node.api.configMaps.set('live', { a: Buffer.from('1'), b: Buffer.from('1') });
    node.addPod('live', { volumes: [{ name: 'c', configMap: { name: 'live' } }], containers: [{ name: 'main', image: 'cirri/client', volumeMounts: [{ name: 'c', mountPath: '/c' }] }] });
    await node.untilReady('live');
    const worker = node.kubelet.find('default', 'live')!;
    node.api.configMaps.set('live', { a: Buffer.from('2') });
    worker.refreshVolumes();
    const { id } = worker.containerRecord('main')!;
    await waitFor('the new files', async () => (await node.parts.runtime.exec(id, ['/bin/sh', '-c', 'cat /c/a; ls /c'])).stdout === '2a\n');
  });
});

describe('a kubelet that is killed and comes back', () => {
  let node: TestNode;
  before(async () => {
    node = new TestNode();
    await node.start();
  });
  after(() => node.remove());

  test('finds running pods and leaves them alone', async () => {
    node.addPod('stays', { containers: [{ name: 'main', image: 'cirri/echo' }] });
    await node.untilReady('stays');
    const { pid, id } = node.kubelet.find('default', 'stays')!.containerRecord('main')!;
    const start = processStart(pid);
    node.stop();
    await node.start();
    const found = node.kubelet.find('default', 'stays')!.containerRecord('main')!;
    assert.deepEqual([found.pid, found.id, found.state, found.ready], [pid, id, 'running', true]);
    assert.equal(processStart(pid), start);
    assert.equal(node.cniCalls().filter(c => c.startsWith('ADD')).length, 1);
  });

  test('learns what ended meanwhile, with its exit code', async () => {
    node.addPod('ends', { restartPolicy: 'Never', containers: [{ name: 'main', ...shell('while ! [ -f /tmp/go ]; do sleep 0.05; done; exit 42') }] });
    await node.untilReady('ends');
    const { id } = node.kubelet.find('default', 'ends')!.containerRecord('main')!;
    node.stop();
    await node.parts.runtime.exec(id, ['touch', '/tmp/go']);
    await waitFor('the record of the end', () => readdirSync(node.layout.exitsDir).includes(id));
    await node.start();
    const status = await node.until('ends', 'Failed', s => s.phase === 'Failed');
    assert.equal(status.containerStatuses![0]!.state.terminated!.exitCode, 42);
  });

  test('stops pods that were deleted meanwhile', async () => {
    node.addPod('gone', { containers: [{ name: 'main', image: 'cirri/client' }] });
    await node.untilReady('gone');
    const { pid } = node.kubelet.find('default', 'gone')!.containerRecord('main')!;
    node.stop();
    node.api.pods.delete('default/gone');
    await node.start();
    await waitFor('it to end', () => processStart(pid) === undefined);
    await waitFor('its records to go', () => node.kubelet.find('default', 'gone') === undefined);
  });

  test('a container whose shim was killed is ended and started again', async () => {
    node.addPod('shimless', { containers: [{ name: 'main', image: 'cirri/client' }] });
    await node.untilReady('shimless');
    const before = { ...node.kubelet.find('default', 'shimless')!.containerRecord('main')! };
    process.kill(before.shimPid, 'SIGKILL');
    node.kubelet.find('default', 'shimless')!.nudge();
    await waitFor('a nudge to find it', () => {
      node.kubelet.find('default', 'shimless')!.nudge();
      return node.status('shimless')?.containerStatuses?.[0]?.restartCount === 1;
    });
    await waitFor('the old process to end', () => processStart(before.pid) === undefined);
    await node.untilReady('shimless');
  });
});

/** Runs a kubelet in a process of its own and ends that with SIGKILL `afterMs` after it has begun with its pods, or once they are ready. */
async function killedKubelet(pods: number, afterMs: number | undefined): Promise<TestNode> {
  const instance = testInstance();
  const state = mkdtempSync(join(tmpdir(), `${instance}-`));
  const child = spawn(process.execPath, [join(import.meta.dirname, 'testing-process.ts'), instance, state, String(pods)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', chunk => (said += String(chunk)));
  await waitFor('the other kubelet', () => said.includes(afterMs === undefined ? 'ready' : 'started'));
  if (afterMs !== undefined) await new Promise(resolve => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await new Promise(resolve => (child.exitCode ?? child.signalCode) === null ? child.on('exit', resolve) : resolve(undefined));
  const node = new TestNode(silentLogger, { instance, state });
  for (let i = 0; i < pods; i++) node.addPod(`p${i}`, { containers: [{ name: 'main', image: 'cirri/echo' }] }, { uid: `0000000${i}-0000-4000-8000-000000000000` });
  return node;
}

describe('a kubelet process ended by SIGKILL', () => {
  test('with running pods: the next one adopts them without touching them', async () => {
    const node = await killedKubelet(3, undefined);
    try {
      const pids = readdirSync(node.layout.node.pods).map(uid => Number(readFileSync(`${node.layout.node.pods}/${uid}/run/main-0/pid`, 'utf8')));
      const starts = pids.map(processStart);
      await node.start();
      for (let i = 0; i < 3; i++) assert.equal((await node.untilReady(`p${i}`)).containerStatuses![0]!.restartCount, 0);
      assert.deepEqual(pids.map(processStart), starts);
      assert.deepEqual([...node.kubelet.workers()].map(w => w.containerRecord('main')!.pid).sort(), pids.sort());
    } finally {
      await node.remove();
    }
  });

  test('at any point of starting pods: the next one has each of them running, exactly once', async () => {
    for (const afterMs of [5, 20, 35, 50, 65, 80, 100, 130]) {
      const node = await killedKubelet(4, afterMs);
      try {
        await node.start();
        // A container whose start broke off may have to be tried again, after a pause of up to ten seconds.
        for (let i = 0; i < 4; i++) await node.untilReady(`p${i}`, 30_000);
        await waitFor(`one process a pod (killed after ${afterMs} ms)`, () => {
          const processes = execFileSync('find', [`${node.parts.runtime.cgroups.trees.unified}${node.layout.cgroupBase}`, '-name', 'cgroup.procs', '-exec', 'cat', '{}', ';'], { encoding: 'utf8' });
          return processes.trim().split('\n').length === 4;
        });
      } finally {
        await node.remove();
      }
    }
  });
});

describe('a kubelet that comes back while the API is away', () => {
  let node: TestNode;
  before(async () => {
    node = new TestNode();
    await node.start();
  });
  after(() => node.remove());

  test('takes nothing as deleted, restarts what ends, and tells the API when it is back', async () => {
    const pod = node.addPod('alone', { containers: [{ name: 'main', image: 'cirri/echo' }] });
    await node.untilReady('alone');
    const before = { ...node.kubelet.find('default', 'alone')!.containerRecord('main')! };
    node.stop();
    await node.start({ apiAway: true });
    process.kill(before.pid, 'SIGKILL');
    const after = await waitFor('the restart', () => {
      const c = node.kubelet.find('default', 'alone')?.containerRecord('main');
      return c?.state === 'running' && c.pid !== before.pid && c;
    });
    assert.equal(after.restartCount, 1);
    node.api.pods.upsert(pod);
    node.api.listed();
    await node.until('alone', 'told', s => s.containerStatuses?.[0]?.restartCount === 1);
    assert.equal(processStart(after.pid) !== undefined, true);
  });

  test('a pod that is not in the first list was deleted', async () => {
    const { pid } = node.kubelet.find('default', 'alone')!.containerRecord('main')!;
    node.stop();
    await node.start({ apiAway: true });
    assert.notEqual(processStart(pid), undefined);
    node.api.listed();
    await waitFor('it to end', () => processStart(pid) === undefined);
  });
});

test('cleanup leaves no process, mount, namespace or group of a node', async () => {
  const node = new TestNode();
  await node.start();
  for (let i = 0; i < 3; i++) node.addPod(`p${i}`, { containers: [{ name: 'a', image: 'cirri/client' }, { name: 'b', image: 'cirri/echo' }] });
  for (let i = 0; i < 3; i++) await node.untilReady(`p${i}`);
  const pids = [...node.kubelet.workers()].flatMap(w => Object.values(w.record.containers).flatMap(c => [c.pid, c.shimPid]));
  await node.remove();
  assert.deepEqual(pids.filter(pid => processStart(pid) !== undefined), []);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes(node.instance), false);
  assert.equal(existsSync(`/sys/fs/cgroup/unified/${node.instance}`), false);
  assert.equal(existsSync(node.state), false);
});
