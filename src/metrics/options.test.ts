import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CirriError } from '../std/errors.ts';
import { parseMetricList } from './options.ts';

const texts = (entries: readonly string[]) => parseMetricList(entries).map(({ name, options, context }) => ({ name, options: Object.fromEntries(options), context }));

test('the lists of the guides', () => {
  assert.deepEqual(texts(['dns:query;ignoreAAAA', 'drop', 'tcp', 'flow', 'port-distribution', 'icmp', 'http']).map(({ name, options }) => [name, options]), [
    ['dns', { query: '', ignoreaaaa: '' }], ['drop', {}], ['tcp', {}], ['flow', {}], ['port-distribution', {}], ['icmp', {}], ['http', {}],
  ]);
});

test('one text with spaces or commas is the same as a list', () => {
  assert.deepEqual(texts(['dns:query drop']), texts(['dns:query', 'drop']));
  assert.deepEqual(texts(['dns:query,drop']), texts(['dns:query', 'drop']));
});

test('context options: lists with |, in any case', () => {
  assert.deepEqual(texts(['flow:sourceContext=workload-name|reserved-identity;destinationContext=dns|ip']), [
    { name: 'flow', options: {}, context: { source: ['workload-name', 'reserved-identity'], destination: ['dns', 'ip'] } },
  ]);
  assert.deepEqual(texts(['drop:sourceegresscontext=pod;SourceIngressContext=identity;destinationEgressContext=app;destinationIngressContext=namespace'])[0]!.context, {
    sourceEgress: ['pod'], sourceIngress: ['identity'], destinationEgress: ['app'], destinationIngress: ['namespace'],
  });
});

test('the labels of labelsContext keep their commas, wherever the list was split', () => {
  const expected = [{ name: 'httpV2', options: { exemplars: 'true' }, context: { labels: ['source_ip', 'source_namespace', 'traffic_direction'] } }, { name: 'drop', options: {}, context: {} }];
  assert.deepEqual(texts(['httpV2:exemplars=true;labelsContext=source_ip,source_namespace,traffic_direction', 'drop']), expected);
  assert.deepEqual(texts(['httpV2:exemplars=true;labelsContext=source_ip', 'source_namespace', 'traffic_direction', 'drop']), expected);
  assert.deepEqual(texts(['httpV2:labelsContext=source_ip,source_namespace;exemplars=true,drop'])[0]!.options, { exemplars: 'true' });
});

for (const [entry, message, mend] of [
  ['dropp', 'there is no metrics plugin "dropp"', /did you mean drop/],
  ['dns:qeury', 'metrics plugin dns: has no option "qeury"', /known are query, ignoreAAAA, sourceContext/],
  ['drop:query', 'metrics plugin drop: has no option "query"', /sourceContext/],
  ['drop:sourceContext=podd', 'metrics plugin drop: sourceContext knows no "podd"', /did you mean pod\?/],
  ['drop:sourceContext=pod-short', 'metrics plugin drop: sourceContext knows no "pod-short": it guessed the workload from the pod\'s name', /workload-name/],
  ['drop:sourceContext', 'metrics plugin drop: sourceContext needs a value', /identity/],
  ['drop:labelsContext=source_podd', 'metrics plugin drop: labelsContext knows no label "source_podd"', /source_pod/],
  ['httpV2:exemplars=yes', 'metrics plugin httpV2: exemplars must be true or false, not "yes"', /exemplars=true/],
  ['dns:query=a', 'metrics plugin dns: query takes no value', /dns:query/],
  ['http,httpV2', 'metrics plugin http: has metrics of the same names as httpV2', /leave one/],
  ['drop,drop:sourceContext=pod', 'metrics plugin drop: is there twice', /one colon/],
] as const) {
  test(`${entry} is refused and says what to do`, () => {
    assert.throws(() => parseMetricList([entry]), (error: unknown) => error instanceof CirriError && error.message === message && mend.test(error.mend ?? ''));
  });
}
