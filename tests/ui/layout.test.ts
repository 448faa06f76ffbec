import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { boxSize, layout, type LayoutLink, type LayoutNode, type Places } from '../../ui/src/map/layout.ts';

const nothing: Places = { cards: {}, boxes: {} };
const graphs = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.array(fc.tuple(fc.nat(39), fc.nat(39)), { maxLength: 80, size: 'max' }), fc.integer({ min: 1, max: 6 })).map(([size, pairs, groups]) => ({
  nodes: Array.from({ length: size }, (_, i): LayoutNode => ({ id: `n${i}`, group: `g${i % groups}` })),
  links: pairs.filter(([a, b]) => a < size && b < size).map(([a, b]): LayoutLink => ({ source: `n${a}`, target: `n${b}` })),
}));

function assertApart(nodes: readonly LayoutNode[], { cards, boxes }: Places): void {
  const byGroup = Map.groupBy(nodes, node => node.group);
  for (const members of byGroup.values()) {
    members.forEach((a, i) => members.slice(i + 1).forEach(b => {
      const [[ac, ar], [bc, br]] = [cards[a.id]!, cards[b.id]!];
      assert.ok(ac !== bc || Math.abs(ar - br) >= 1, `${a.id} and ${b.id} share a cell`);
    }));
  }
  const rects = [...byGroup].map(([group, members]) => ({ group, at: boxes[group]!, ...boxSize(members.map(node => cards[node.id]!)) }));
  rects.forEach((a, i) => rects.slice(i + 1).forEach(b => {
    const apart = Math.abs(a.at[0] - b.at[0]) >= (a.width + b.width) / 2 - 1 || Math.abs(a.at[1] - b.at[1]) >= (a.height + b.height) / 2 - 1;
    assert.ok(apart, `${a.group} lies over ${b.group}`);
  }));
}

test('nothing lies over anything, and the same question has the same answer', () => {
  fc.assert(fc.property(graphs, ({ nodes, links }) => {
    const places = layout(nodes, links, nothing);
    assertApart(nodes, places);
    assert.deepEqual(layout(nodes, links, nothing), places);
  }), { numRuns: 60 });
});

test('what has a place keeps it when others come', () => {
  fc.assert(fc.property(graphs, fc.integer({ min: 1, max: 5 }), ({ nodes, links }, more) => {
    const before = layout(nodes, links, nothing);
    const grown = [...nodes, ...Array.from({ length: more }, (_, i): LayoutNode => ({ id: `new${i}`, group: nodes[i % nodes.length]!.group }))];
    const after = layout(grown, [...links, { source: 'n0', target: 'new0' }], before);
    for (const { id } of nodes) assert.deepEqual(after.cards[id], before.cards[id]);
    assertApart(grown, after);
  }), { numRuns: 60 });
});

test('callers stand left of those they call', () => {
  const chain = ['web', 'cart', 'redis'].map(id => ({ id, group: 'shop' }));
  const { cards } = layout(chain, [{ source: 'web', target: 'cart' }, { source: 'cart', target: 'redis' }], nothing);
  assert.deepEqual(chain.map(({ id }) => cards[id]![0]), [0, 1, 2]);
});
