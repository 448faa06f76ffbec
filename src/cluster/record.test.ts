import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePrefix, prefixHas, parseAddr } from '../std/ip.ts';
import { freeSubnet, hostDevice, makeRecord, maxNodes } from './record.ts';

test('every address of a node lies in its prefix, and no two nodes share one', () => {
  const record = makeRecord({ instance: 'x1', version: '0', nodes: maxNodes, subnet: 7, routing: 'tunnel', apiserverPort: 6443 });
  const seen = new Set<string>();
  for (const node of record.nodes) {
    assert.ok(prefixHas(parsePrefix(record.underlay.prefix4), parseAddr(node.underlay4)));
    assert.ok(prefixHas(parsePrefix(record.underlay.prefix6), parseAddr(node.underlay6)));
    assert.ok(prefixHas(parsePrefix(node.podCidr4), parseAddr(node.routerIp4)));
    assert.ok(prefixHas(parsePrefix(node.podCidr6), parseAddr(node.routerIp6)));
    assert.ok(prefixHas(parsePrefix(record.clusterCidr4), parseAddr(node.routerIp4)));
    assert.ok(prefixHas(parsePrefix(record.clusterCidr6), parseAddr(node.routerIp6)));
    assert.ok(hostDevice('abcdefgh', node).length <= 15, 'a device name has at most 15 characters');
    for (const value of [node.underlay4, node.underlay6, node.podCidr4, node.podCidr6]) {
      assert.ok(!seen.has(value), value);
      seen.add(value);
    }
  }
});

test('a new cluster takes the lowest subnet that nothing has', () => {
  assert.equal(freeSubnet([]), 1);
  assert.equal(freeSubnet(['172.30.1.0/24', '172.30.2.1/24', '10.0.0.0/8']), 3);
  assert.equal(freeSubnet(['172.30.1.0/24', '172.31.2.7', '0.0.0.0/0', '128.0.0.0/1']), 3, 'load balancer addresses need theirs too');
  assert.equal(freeSubnet(['172.31.0.0/20']), 16);
  assert.equal(freeSubnet(['172.16.0.0/12']), undefined);
});
