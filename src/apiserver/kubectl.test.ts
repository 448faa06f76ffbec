import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../std/async.ts';
import { at } from './object.ts';
import type { JsonObject } from './object.ts';
import { TestServer } from './testing.ts';

/** The kubectls of this machine; CIRRI_TEST_KUBECTL adds others (paths separated by colons). */
const candidates = ['/usr/bin/kubectl', '/usr/local/bin/kubectl', ...(process.env['CIRRI_TEST_KUBECTL'] ?? '').split(':')];
const kubectls = candidates.filter(path => path !== '' && existsSync(path));

interface Result { readonly code: number; readonly out: string; readonly err: string }

for (const kubectl of kubectls) {
  describe(`with ${kubectl}`, { timeout: 180_000, concurrency: false }, () => {
    let api: TestServer;
    let file = 0;
    before(async () => { api = await TestServer.start(); });
    after(async () => { await api[Symbol.asyncDispose](); });

    const environment = () => ({ ...process.env, KUBECONFIG: api.paths.kubeconfig, HOME: api.paths.state, KUBECTL_CACHE: api.paths.state });
    const run = (args: readonly string[], input?: string, env: Record<string, string> = {}): Promise<Result> => new Promise(resolve => {
      const child = execFile(kubectl, args, { env: { ...environment(), ...env }, timeout: 60_000 }, (error, out, err) => {
        resolve({ code: error ? Number((error as { code?: number }).code ?? 1) : 0, out, err });
      });
      child.stdin?.end(input ?? '');
    });
    const ok = async (args: readonly string[], input?: string, env?: Record<string, string>): Promise<string> => {
      const result = await run(args, input, env);
      assert.equal(result.code, 0, `kubectl ${args.join(' ')}: ${result.err}${result.out}`);
      return result.out.trim();
    };
    const write = (text: string): string => {
      const path = join(api.paths.state, `f${file++}.yaml`);
      writeFileSync(path, text);
      return path;
    };

    const deployment = (replicas: number, image = 'busybox:1') => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "${image}", ports: [{containerPort: 80, name: http}], env: [{name: A, value: "1"}]}
      - {name: side, image: side}
`;

    test('version and api-resources', async () => {
      assert.match(await ok(['version']), /v1\.33\.0-cirri/);
      const resources = await ok(['api-resources']);
      for (const line of [/^pods +po +v1 +true +Pod$/m, /^deployments +deploy +apps\/v1 +true +Deployment$/m, /^ciliumnetworkpolicies +cnp,ciliumnp +cilium\.io\/v2 +true +CiliumNetworkPolicy$/m, /^adminnetworkpolicies +anp +policy\.networking\.k8s\.io\/v1alpha1 +false +AdminNetworkPolicy$/m, /^clusternetworkpolicies +policy\.networking\.k8s\.io\/v1alpha2 +false +ClusterNetworkPolicy$/m]) assert.match(resources, line);
      assert.match(await ok(['api-versions']), /^networking\.k8s\.io\/v1$/m);
    });

    test('apply, apply again, apply a change, diff', async () => {
      const path = write(deployment(2));
      assert.equal(await ok(['apply', '-f', path]), 'deployment.apps/web created');
      assert.equal(await ok(['apply', '-f', path]), 'deployment.apps/web unchanged');
      const changed = write(deployment(3, 'busybox:2'));
      const diff = await run(['diff', '-f', changed]);
      assert.equal(diff.code, 1, diff.err);
      assert.match(diff.out, /^-\s+(- )?image: busybox:1$/m);
      assert.match(diff.out, /^\+\s+(- )?image: busybox:2$/m);
      assert.match(await ok(['apply', '-f', changed, '--dry-run=server']), /configured \(server dry run\)/);
      assert.equal(await ok(['apply', '-f', changed]), 'deployment.apps/web configured');
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.replicas} {.spec.template.spec.containers[*].image}']), '3 busybox:2 side');
      const fewer = write(deployment(3, 'busybox:2').replace(/ {6}- \{name: side.*\n/, ''));
      await ok(['apply', '-f', fewer]);
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.spec.template.spec.containers[*].name}']), 'web');
    });

    test('apply --server-side, conflicts, --force-conflicts', async () => {
      const config = (data: string) => write(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {${data}}\n`);
      const one = config('a: "1", b: "1"');
      assert.match(await ok(['apply', '--server-side', '--field-manager=one', '-f', one]), /configmap\/ssa serverside-applied/);
      const two = config('a: "2"');
      const conflict = await run(['apply', '--server-side', '--field-manager=two', '-f', two]);
      assert.notEqual(conflict.code, 0);
      assert.match(conflict.err, /conflict with "one".*\.data\.a/);
      await ok(['apply', '--server-side', '--field-manager=two', '--force-conflicts', '-f', two]);
      await ok(['apply', '--server-side', '--field-manager=one', '-f', config('c: "1"')]);
      assert.deepEqual(JSON.parse(await ok(['get', 'cm', 'ssa', '-o', 'jsonpath={.data}'])), { a: '2', c: '1' });
    });

    test('a mistake is refused with its field and changes nothing', async () => {
      const typo = await run(['apply', '-f', write('apiVersion: v1\nkind: Service\nmetadata: {name: typo}\nspec: {prots: [{port: 80}]}\n')]);
      assert.notEqual(typo.code, 0);
      assert.match(typo.err, /unknown field "(spec\.)?prots"/);
      const wrong = await run(['apply', '-f', write('apiVersion: v1\nkind: Service\nmetadata: {name: typo}\nspec: {ports: [{port: 99999}]}\n')]);
      assert.match(wrong.err, /The Service "typo" is invalid:\s+(?:\* )?spec\.ports\[0\]\.port: Invalid value: 99999: must be between 1 and 65535, inclusive/);
      assert.match((await run(['get', 'svc', 'typo'])).err, /services "typo" not found/);
    });

    test('patch of three kinds, label, annotate, set image, scale', async () => {
      await ok(['patch', 'deploy', 'web', '--type=json', '-p', '[{"op":"add","path":"/metadata/labels","value":{"x":"1"}}]']);
      await ok(['patch', 'deploy', 'web', '--type=merge', '-p', '{"spec":{"paused":true}}']);
      await ok(['patch', 'deploy', 'web', '-p', '{"spec":{"template":{"spec":{"containers":[{"name":"extra","image":"e"}]}}}}']);
      await ok(['label', 'deploy', 'web', 'y=2', 'x-']);
      await ok(['annotate', 'deploy', 'web', 'note=hello']);
      await ok(['set', 'image', 'deploy/web', 'web=busybox:3']);
      await ok(['scale', 'deploy', 'web', '--replicas=5']);
      const object = JSON.parse(await ok(['get', 'deploy', 'web', '-o', 'json'])) as JsonObject;
      assert.deepEqual(at(object, 'metadata', 'labels'), { y: '2' });
      assert.equal(at(object, 'metadata', 'annotations', 'note'), 'hello');
      assert.deepEqual([at(object, 'spec', 'paused'), at(object, 'spec', 'replicas')], [true, 5]);
      assert.deepEqual((at(object, 'spec', 'template', 'spec', 'containers') as JsonObject[]).map(c => `${String(c['name'])}=${String(c['image'])}`).sort(), ['extra=e', 'web=busybox:3']);
      assert.match((await run(['patch', 'deploy', 'web', '--type=json', '-p', '[{"op":"test","path":"/spec/replicas","value":1}]'])).err, /not the tested one/);
    });

    test('edit with an editor', async () => {
      const editor = write('#!/bin/sh\nsed -i "s/note: hello/note: edited/" "$1"\n');
      assert.match(await ok(['edit', 'deploy', 'web'], undefined, { KUBE_EDITOR: `sh ${editor}` }), /edited/);
      assert.equal(await ok(['get', 'deploy', 'web', '-o', 'jsonpath={.metadata.annotations.note}']), 'edited');
    });

    test('create of many kinds, run, expose', async () => {
      await ok(['create', 'namespace', 'many']);
      for (const args of [
        ['configmap', 'c', '--from-literal=a=b'], ['secret', 'generic', 's', '--from-literal=a=b'], ['serviceaccount', 'robot'], ['deployment', 'd', '--image=busybox'],
        ['service', 'clusterip', 'svc', '--tcp=80:8080'], ['job', 'j', '--image=busybox', '--', 'true'], ['ingress', 'i', '--rule=a.b/x*=svc:80'],
        ['role', 'r', '--verb=get', '--resource=pods'],
      ]) await ok(['-n', 'many', 'create', ...args]);
      await ok(['-n', 'many', 'run', 'r', '--image=busybox', '--port=80', '--labels=a=b']);
      await ok(['-n', 'many', 'expose', 'pod', 'r', '--port=80']);
      assert.equal(await ok(['-n', 'many', 'get', 'secret', 's', '-o', 'jsonpath={.data.a}']), 'Yg==');
      assert.equal(await ok(['-n', 'many', 'get', 'svc', 'r', '-o', 'jsonpath={.spec.selector.a}']), 'b');
      assert.match(await ok(['-n', 'many', 'get', 'all']), /pod\/r +0\/1 +Pending/);
    });

    test('tables, wide, labels, selectors, sorting, other outputs', async () => {
      assert.match(await ok(['-n', 'many', 'get', 'pods', '-o', 'wide']), /^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES\nr +0\/1 +Pending +0 +\S+ +<none> +<none> +<none> +<none>$/);
      assert.match(await ok(['get', 'svc', '-A', '--sort-by=.metadata.name', '--show-labels']), /^NAMESPACE +NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE +LABELS$/m);
      assert.match(await ok(['get', 'deploy', 'web', '-o', 'wide']), /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/5 +0 +0/);
      assert.equal(await ok(['-n', 'many', 'get', 'pods', '-l', 'a in (b,c)', '-o', 'name']), 'pod/r');
      assert.equal(await ok(['-n', 'many', 'get', 'pods', '--field-selector', 'status.phase=Pending', '-o', 'custom-columns=N:.metadata.name', '--no-headers']), 'r');
      assert.match(await ok(['get', 'ns', 'many', '-o', 'yaml']), /kubernetes\.io\/metadata\.name: many/);
    });

    test('explain: built-in and custom types', async () => {
      assert.match(await ok(['explain', 'pod.spec.containers.ports']), /containerPort\s+<integer> -required-/);
      assert.match(await ok(['explain', 'deployment.spec', '--recursive']), /revisionHistoryLimit\s+<integer>/);
      assert.match(await ok(['explain', 'cnp.spec']), /endpointSelector\s+<Object>/);
      assert.match(await ok(['explain', 'anp.spec.egress.to']), /networks\s+<\[\]string>\s+Ranges of addresses/);
      assert.match(await ok(['explain', 'banp.spec.ingress', '--recursive']), /action\s+<string> -required-[^]*portRange\s+<Object>/);
      assert.match(await ok(['explain', 'clusternetworkpolicies.spec']), /tier\s+<string> -required-/);
    });

    test('describe', async () => {
      assert.match(await ok(['describe', 'deploy', 'web']), /Replicas:\s+5 desired/);
      assert.match(await ok(['-n', 'many', 'describe', 'pod', 'r']), /Status:\s+Pending/);
      assert.match(await ok(['-n', 'many', 'describe', 'svc', 'r']), /Type:\s+ClusterIP/);
      assert.match(await ok(['describe', 'ns', 'many']), /Status:\s+Active/);
      assert.match(await ok(['describe', 'crd', 'ciliumnodes.cilium.io']), /Kind:\s+CiliumNode/);
    });

    test('wait and rollout status see what others write', async () => {
      const waiting = ok(['-n', 'many', 'wait', 'pod/r', '--for=condition=Ready', '--timeout=30s']);
      await api.ok('PATCH', '/api/v1/namespaces/many/pods/r/status', { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } }, { 'content-type': 'application/strategic-merge-patch+json' });
      assert.match(await waiting, /pod\/r condition met/);
      const deployed = await api.ok('PATCH', '/apis/apps/v1/namespaces/default/deployments/web', { spec: { paused: false } }, { 'content-type': 'application/merge-patch+json' });
      const rollout = ok(['rollout', 'status', 'deploy/web', '--timeout=30s']);
      await api.ok('PATCH', '/apis/apps/v1/namespaces/default/deployments/web/status', { status: { observedGeneration: deployed.metadata.generation, replicas: 5, updatedReplicas: 5, readyReplicas: 5, availableReplicas: 5 } }, { 'content-type': 'application/merge-patch+json' });
      assert.match(await rollout, /successfully rolled out/);
    });

    test('get -w shows changes as they come', async () => {
      const child = spawn(kubectl, ['-n', 'many', 'get', 'pods', '-w'], { env: environment() });
      let out = '';
      child.stdout.on('data', (chunk: Buffer) => { out += chunk.toString(); });
      try {
        await waitFor('the first table', () => /^r +/m.test(out));
        await ok(['-n', 'many', 'delete', 'pod', 'r', '--now']);
        await waitFor('the deletion', () => out.trim().split('\n').length >= 3);
      } finally {
        child.kill();
      }
    });

    test('auth can-i, tokens, and what their owner may do', async () => {
      assert.equal(await ok(['auth', 'can-i', 'create', 'pods']), 'yes');
      const token = at(await api.ok('POST', '/api/v1/namespaces/many/serviceaccounts/robot/token', {}), 'status', 'token');
      const as = ['--token', String(token), '--kubeconfig', write(`apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "https://127.0.0.1:${api.server.port}", insecure-skip-tls-verify: true}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\ncurrent-context: c\n`)];
      assert.match((await run([...as, 'get', 'pods'])).err, /pods is forbidden: User "system:serviceaccount:many:robot" cannot list resource "pods" in API group "" in the namespace "default"/);
      assert.match((await run([...as, 'auth', 'can-i', 'get', 'pods'])).out, /^no\b/);
    });

    test('all seeds are accepted as they are written', async () => {
      const seeds = fileURLToPath(new URL('../../tests/e2e/seeds', import.meta.url));
      for (const name of ['production', 'payments', 'checkout', 'orders']) await ok(['create', 'ns', name]);
      for (const name of readdirSync(seeds).sort()) assert.match(await ok(['apply', '-f', join(seeds, name)]), /created/, name);
      assert.match(await ok(['get', 'cnp', '-A']), /^NAMESPACE +NAME +AGE +VALID$/m);
      assert.match(await ok(['get', 'ccnp']), /default-deny-all/);
      for (const name of readdirSync(seeds).sort()) assert.match(await ok(['apply', '-f', join(seeds, name)]), /unchanged/, name);
    });

    test('a definition and its objects: cep columns', async () => {
      await api.ok('POST', '/apis/cilium.io/v2/namespaces/many/ciliumendpoints', { metadata: { name: 'e' }, status: { id: 1, identity: { id: 4711 }, state: 'ready', networking: { addressing: [{ ipv4: '10.244.1.5', ipv6: 'fd00::5' }] } } });
      assert.match(await ok(['-n', 'many', 'get', 'cep']), /^NAME +SECURITY IDENTITY +ENDPOINT STATE +IPV4 +IPV6\ne +4711 +ready +10\.244\.1\.5 +fd00::5$/);
    });

    test('delete waits, by file, by selector, by kind; a namespace goes with everything', async () => {
      assert.match(await ok(['delete', 'deploy', 'web']), /deployment\.apps "web" deleted/);
      assert.match(await ok(['-n', 'many', 'delete', 'cm', '--all']), /configmap "c" deleted/);
      assert.match(await ok(['delete', 'ns', 'many', '--timeout=30s']), /namespace "many" deleted/);
      assert.match((await run(['get', 'ns', 'many'])).err, /namespaces "many" not found/);
    });
  });
}
