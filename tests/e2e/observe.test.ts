/**
 * The commands of the seeds word for word under the names that they use, and ours, on a cluster with a namespace of payments:
 * a service that checkout may call and nobody else.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually, namespaceYaml, podYaml, TestCluster } from './cluster.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cluster = new TestCluster('o');
const service = 'payments/payment-service';
const rogue = { from: 'payments/rogue', to: service, port: 8080, expect: 'denied' } as const;
const checkout = { from: 'checkout/checkout-service', to: service, port: 8080, expect: 'allowed' } as const;

interface Shell {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A line of a shell with our commands in its path. With `until` it is interrupted once that has been printed. */
function runShell(line: string, options: { readonly until?: RegExp; readonly onStart?: () => Promise<unknown> } = {}): Promise<Shell> {
  const child = spawn('bash', ['-c', line], { env: { ...cluster.env, PATH: `${root}:${process.env['PATH']}`, KUBECONFIG: cluster.paths.kubeconfig }, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let [stdout, stderr] = ['', ''];
  const stop = () => {
    try {
      process.kill(-child.pid!, 'SIGTERM');
    } catch {
      // It has ended by itself.
    }
  };
  const timer = setTimeout(stop, 30_000);
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    if (options.until?.test(stdout)) stop();
  });
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  let trying = options.onStart !== undefined;
  const tries = async () => {
    // What follows sees what happens from now on: it is tried until it is seen.
    while (trying) await options.onStart!();
  };
  const tried = tries();
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => {
      clearTimeout(timer);
      trying = false;
      tried.then(() => resolve({ code, stdout, stderr }), reject);
    });
  });
}

const shell = runShell;
const denials = () => cluster.probe(rogue);
const stamp = String.raw`[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\.\d{3}`;

describe('flows by name', { concurrency: false }, () => {
  before(async () => {
    await cluster.start('--no-demo');
    await cluster.apply([
      namespaceYaml('payments'), namespaceYaml('checkout'),
      podYaml('payments', 'payment-service', 'node1', { app: 'payment-service' }, 8080),
      podYaml('payments', 'rogue', 'node2', { app: 'rogue' }),
      podYaml('checkout', 'checkout-service', 'node2', { app: 'checkout-service' }),
    ].join(''));
    await cluster.podsReady('payments', 'checkout');
    await cluster.apply('seeds/03-payment-service-ingress.yaml');
    await cluster.expectAll([rogue, checkout]);
  });
  after(() => cluster.stop());

  test('hubble observe --namespace … --verdict DROPPED --follow: a line of Hubble’s, and nothing else on it', async () => {
    const { stdout, stderr } = await shell('hubble observe --namespace payments --verdict DROPPED --follow', { until: /Policy denied DROPPED.*\n/, onStart: denials });
    assert.match(stdout, new RegExp(`^${stamp}: payments/rogue:\\d+ \\(ID:\\d+\\) <> payments/payment-service:8080 \\(ID:\\d+\\) (?:policy-verdict:none INGRESS DENIED|Policy denied DROPPED) \\(TCP Flags: SYN\\)$`, 'm'), stderr);
    assert.doesNotMatch(stdout, /\[rule|\[flow/);
  });

  test('the lines with backslashes, commas and quotes read as they are written', async () => {
    const lines = [
      'hubble observe --http-status 500 \\\n  --from-label app=frontend --to-label app=api-gateway',
      'hubble observe \\\n--from-label app=payment-service \\\n--to-fqdn api.stripe.com \\\n--verdict DROPPED,FORWARDED',
      'hubble observe --verdict DROPPED',
      'hubble observe \\\n--from-label app=checkout-service \\\n--to-label app=payment-service',
    ];
    for (const line of lines) {
      const { code, stderr, stdout } = await shell(line);
      assert.deepEqual([code, stderr], [0, ''], line);
      if (line.includes('checkout-service')) assert.match(stdout, /checkout\/checkout-service:\d+ .* payments\/payment-service:8080/);
    }
  });

  test('hubble observe \\ --namespace payments \\ --follow shows what is allowed, too', async () => {
    const { stdout } = await shell('hubble observe \\\n--namespace payments \\\n--follow', { until: /INGRESS ALLOWED/, onStart: () => cluster.probe(checkout) });
    assert.match(stdout, /checkout\/checkout-service:\d+ \(ID:\d+\) -> payments\/payment-service:8080 \(ID:\d+\) policy-verdict:L3-L4 INGRESS ALLOWED \(TCP Flags: SYN\)/);
  });

  test('both names show the same flows; ours names rule and id of a denial', async () => {
    const now = new Date().toISOString();
    const [theirs, ours] = await Promise.all(['hubble', 'cirri'].map(name => shell(`${name} observe -o jsonpb --last 10 --until ${now} --namespace payments`)));
    assert.notEqual(theirs!.stdout, '');
    assert.equal(theirs!.stdout, ours!.stdout);
    const { stdout } = await shell('cirri observe --verdict DROPPED --type drop --last 1');
    assert.match(stdout, /Policy denied DROPPED \(TCP Flags: SYN\) \[rule payments\/payment-service-ingress: default deny\] \[flow node1-\S+\]\n$/);
    const { stdout: named } = await shell('hubble observe --type policy-verdict --verdict FORWARDED --to-namespace payments --traffic-direction ingress --last 1 --print-policy-names');
    assert.match(named, /INGRESS ALLOWED BY payment-service-ingress \(NetworkPolicy\) /);
  });

  test('--explain under a denial, as it happens', async () => {
    const { stdout } = await shell('cirri observe --verdict DROPPED --type drop -f --explain', { until: /changes nothing else|it also changes/, onStart: denials });
    assert.match(stdout, /DROPPED .*\n {4}payments\/rogue → payments\/payment-service 8080\/TCP: DENY\n/);
    assert.match(stdout, /\n {6}the smallest change that allows it \(tried\)/);
  });

  test('what was saved is read back with the same filters', async () => {
    const { stdout, code } = await shell('hubble observe --all -o jsonpb | hubble observe --input-file - --from-pod payments/rogue --type drop -o table | tail -n 1');
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^${stamp} {3}payments/rogue:\\d+ {3}payments/payment-service:8080 {3}Policy denied {3}DROPPED {3}TCP Flags: SYN$`, 'm'));
  });

  test('cilium monitor --type drop, in its layout', async () => {
    const { stdout } = await shell('cilium monitor --type drop', { until: /xx drop .*\n/, onStart: denials });
    assert.match(stdout, /^Listening for events on \d+ CPUs with \d+x4096 of shared memory\nPress Ctrl-C to quit\nxx drop \(Policy denied\) flow 0x[0-9a-f]+ to endpoint \d+, ifindex \d+, file \S+, , identity \d+->\d+: [\d.]+:\d+ -> [\d.]+:8080 tcp SYN\n/);
  });

  test('hubble status, observe agent-events, reflect; a server by its address', async () => {
    assert.match((await shell('hubble status')).stdout, /^Healthcheck \(via \S+\): Ok\nCurrent\/Max Flows: [\d,]+\/[\d,]+ \([\d.]+%\)\nFlows\/s: [\d.]+\nConnected Nodes: 2\/2\n$/);
    assert.match((await shell('hubble observe agent-events --all')).stdout, new RegExp(`^${stamp}: ENDPOINT_CREATED \\(id: \\d+, namespace: payments, pod name: payment-service\\)$`, 'm'));
    assert.match((await shell('hubble reflect')).stdout, /\nservice Observer \{\n {2}rpc GetFlows\(observer\.GetFlowsRequest\) returns \(stream observer\.GetFlowsResponse\);\n/);
    const there = /available at (\S+)/.exec((await shell('cilium hubble port-forward')).stdout)?.[1];
    assert.match((await shell(`hubble observe --server ${there} --verdict DROPPED --last 1`)).stdout, /payments\/rogue:\d+ /);
    const away = await shell('hubble observe --server 127.0.0.1:1 --last 1');
    assert.deepEqual([away.code, /failed to connect to '127\.0\.0\.1:1'/.test(away.stderr)], [1, true]);
  });

  test('the other commands of cilium', async () => {
    const status = await shell('cilium status --verbose');
    assert.equal(status.code, 0, status.stderr);
    assert.match((await shell('cilium status | grep KubeProxyReplacement')).stdout, /KubeProxyReplacement: True/);
    assert.match((await shell('cilium service list')).stdout, /^ID +Frontend +Service Type +Backend/);
    assert.match((await shell(`cilium endpoint get ${service}`)).stdout, /payment-service/);
    assert.match((await shell('cilium policy get')).stdout, /payment-service-ingress/);
    const gone = await shell('cilium connectivity test');
    assert.equal(gone.code, 1);
    assert.match(gone.stderr, /cirri conformance --datapath/);
  });

  test('kubectl exec: the seeds’ commands in the agent’s pod of a node', async () => {
    await eventually('the agents’ pods run', 30_000, async () => {
      const { stdout } = await cluster.kubectl('-n', 'kube-system', 'get', 'daemonset', 'cilium', '-o', 'jsonpath={.status.numberReady}');
      return stdout === '2' ? undefined : `${stdout} of 2 are ready`;
    });
    const [status, listed, grepped] = await Promise.all([
      shell('kubectl -n kube-system exec ds/cilium -- cilium status --verbose'),
      shell('kubectl -n kube-system exec ds/cilium -- cilium service list'),
      shell('kubectl -n kube-system exec ds/cilium -- cilium status | grep KubeProxyReplacement'),
    ]);
    assert.equal(status.code, 0, status.stderr);
    assert.match(listed.stdout, /^ID +Frontend +Service Type +Backend\n\d+ +10\.96\.0\.1:443\/TCP/);
    assert.match(grepped.stdout, /KubeProxyReplacement: True/);
    // The pod is one node's: it sees what that node denies.
    const pod = (await cluster.kubectl('-n', 'kube-system', 'get', 'pods', '-l', 'k8s-app=cilium', '--field-selector', 'spec.nodeName=node1', '-o', 'name')).stdout.trim();
    const monitor = await shell(`kubectl -n kube-system exec ${pod} -- cilium monitor --type drop`, { until: /xx drop/, onStart: denials });
    assert.match(monitor.stdout, /^Listening for events .*\nPress Ctrl-C to quit\nxx drop \(Policy denied\) /);
  });

  for (const [way, webSockets] of [['WebSockets', 'true'], ['SPDY, as older ones', 'false']]) test(`kubectl exec over ${way}: input, output, exit code and terminal of a pod`, async () => {
    const shell = (line: string) => runShell(`export KUBECTL_REMOTE_COMMAND_WEBSOCKETS=${webSockets}; ${line}`);
    const run = await shell("echo given | kubectl -n payments exec -i rogue -- sh -c 'cat; echo err >&2; exit 3'");
    assert.deepEqual([run.code, run.stdout], [3, 'given\n']);
    assert.match(run.stderr, /^err\ncommand terminated with exit code 3/);
    assert.equal((await shell('head -c 3000000 /dev/zero | kubectl -n payments exec -i rogue -- wc -c')).stdout.trim(), '3000000');
    const terminal = await shell(`script -qec "stty rows 33 cols 101; kubectl -n payments exec -it rogue -- sh -c 'stty size; exit 5'" /dev/null`);
    assert.match(terminal.stdout, /33 101\r\n/);
    assert.equal(terminal.code, 5);
    assert.match((await shell('kubectl -n payments exec rogue -c other -- true')).stderr, /container other is not valid for pod rogue/);
  });
});
