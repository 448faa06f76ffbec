import assert from 'node:assert/strict';
import { test } from 'node:test';
import { repositoryOf, resolveImage } from './images.ts';
import type { Container } from './types.ts';

const sources = { node: '/opt/node', dnsMain: '/src/dns.ts' };
const argv = (container: Partial<Container>) => {
  const result = resolveImage({ name: 'c', ...container }, sources);
  return 'missing' in result ? undefined : result.argv;
};

test('the repository is the name without registry, tag and digest', () => {
  for (const image of ['nginx', 'nginx:1.27', 'docker.io/nginx', 'docker.io/library/nginx:1@sha256:abc', 'localhost:5000/nginx:x', 'library/nginx']) assert.equal(repositoryOf(image), 'nginx', image);
  assert.equal(repositoryOf('quay.io/cilium/json-mock:v1.3.8@sha256:5a'), 'cilium/json-mock');
});

test('cirri/echo listens on the declared ports, or where its arguments say', () => {
  assert.deepEqual(argv({ image: 'cirri/echo' }), ['/.cirri/echo']);
  assert.deepEqual(argv({ image: 'cirri/echo', ports: [{ containerPort: 80 }, { containerPort: 53, protocol: 'UDP' }, { containerPort: 9, protocol: 'SCTP' }] }), ['/.cirri/echo', '--tcp', '80', '--udp', '53']);
  assert.deepEqual(argv({ image: 'cirri/echo:1', args: ['--http', '81'] }), ['/.cirri/echo', '--http', '81']);
});

test('well-known servers are stood in for on their port; the arguments of their own are not ours', () => {
  assert.deepEqual(argv({ image: 'nginx:1.27' }), ['/.cirri/echo', '--tcp', '80']);
  assert.deepEqual(argv({ image: 'hashicorp/http-echo', args: ['-text=hi'] }), ['/.cirri/echo', '--tcp', '5678']);
  assert.deepEqual(argv({ image: 'registry.k8s.io/e2e-test-images/agnhost:2.47', args: ['netexec', '--http-port=8081', '--udp-port=8082'] }), ['/.cirri/echo', '--tcp', '8081', '--udp', '8082']);
});

test('a command runs as it is, whatever the image', () => {
  assert.deepEqual(argv({ image: 'python:3', command: ['python3'], args: ['-V'] }), ['python3', '-V']);
});

test('arguments are the command where the image has no entry point, and curl\'s where that is it', () => {
  assert.deepEqual(argv({ image: 'busybox:1.36', args: ['sleep', '60'] }), ['sleep', '60']);
  assert.deepEqual(argv({ image: 'curlimages/curl', args: ['-s', 'http://x'] }), ['curl', '-s', 'http://x']);
  assert.deepEqual(argv({ image: 'quay.io/cilium/alpine-curl:v1.5.0', args: ['sleep', '1'] }), ['sleep', '1']);
  assert.deepEqual(argv({ image: 'registry.k8s.io/pause:3.9' }), ['/.cirri/echo', 'sleep']);
  assert.equal(argv({ image: 'someone/app', args: ['serve'] }), undefined);
});

test('what cannot be had says what to do', () => {
  const result = resolveImage({ name: 'c', image: 'busybox' }, sources);
  assert.ok('missing' in result && result.missing.includes('cirri/client'));
});
