import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Script } from 'node:vm';
import { pageScript } from './matrix-page-parts.ts';
import { matrixHtml, pageData } from './matrix-page.ts';
import { matrixSvg, pictureParties } from './matrix-picture.ts';
import { computeMatrix } from './matrix.ts';
import { readScenario } from './scenario.ts';
import { World } from './world.ts';

const pod = (namespace: string, name: string) => ({ kind: 'Pod', metadata: { name, namespace, labels: { app: name } }, spec: { containers: [] } });
const closed = { kind: 'NetworkPolicy', metadata: { name: 'n', namespace: 'a' }, spec: { podSelector: { matchLabels: { app: 'x' } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'y' } } }], ports: [{ port: 80 }, { port: 90 }] }] } };
const matrixOf = (...objects: readonly object[]) => computeMatrix(new World(readScenario(objects.map(object => ({ object: object as typeof closed, place: () => '' })))));

test("the page's data says of each pair what the matrix says, and why not", () => {
  const matrix = matrixOf(pod('a', 'x'), pod('a', 'y'), pod('b', 'z'), closed);
  const { parties, rows, cells, groups, open } = pageData(matrix, { why: (from, to) => `${from.name} not to ${to.name}` });
  assert.deepEqual(parties.map(p => p.name), ['a/x', 'a/y', 'b/z', 'world']);
  assert.deepEqual(groups, [{ name: 'a', members: [0, 1] }, { name: 'b', members: [2] }, { name: 'outside the pods', members: [3] }]);
  const cell = (i: number, j: number) => cells[rows[i]![j]!];
  assert.deepEqual(cell(1, 0), { kind: 'some', text: '80/TCP, 90/TCP', words: ['80/TCP', '90/TCP'] });
  assert.deepEqual(cell(2, 0), { kind: 'none', text: '', words: [], why: 'b/z not to a/x' });
  assert.equal(cell(0, 1)!.kind, 'all');
  assert.equal(cell(0, 0)!.kind, 'same');
  assert.equal(open, true);
});

test('what passes only in audit has a colour and a place in the legend of its own', () => {
  const audited = { ...closed, metadata: { ...closed.metadata, annotations: { 'policy.cirri.io/mode': 'audit' } } };
  const matrix = matrixOf(pod('a', 'x'), pod('a', 'y'), audited);
  const { rows, cells } = pageData(matrix);
  assert.deepEqual([cells[rows[1]![0]!]!.kind, cells[rows[1]![0]!]!.words.includes('all UDP (audit)'), cells[rows[0]![1]!]!.kind], ['audit', true, 'all']);
  assert.match(matrixHtml(matrix, 't'), /class="audit"><\/i>in audit/);
  assert.match(matrixSvg(matrix, 't'), /<rect class="audit"/);
  assert.doesNotMatch(matrixHtml(matrixOf(pod('a', 'x'), closed), 't'), /<\/i>in audit/);
});

test('equal cells are written once, and a large cluster begins with closed namespaces', () => {
  const matrix = matrixOf(...Array.from({ length: pictureParties }, (_, i) => pod(`n${i % 5}`, `p${i}`)));
  const { cells, open, groups } = pageData(matrix);
  assert.deepEqual(cells.map(c => c.kind).sort(), ['all', 'same']);
  assert.deepEqual([open, groups.length], [false, 6]);
});

test('names from objects cannot leave the data, and the script parses', () => {
  const html = matrixHtml(matrixOf(pod('a', '</script><script>alert(1)</script>')), '<b>"title"');
  assert.equal([...html.matchAll(/<script/g)].length, 2);
  assert.ok(html.includes('<title>&lt;b&gt;&quot;title&quot;</title>'));
  assert.ok(new Script(pageScript));
});
