import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { statePaths } from '../model/cluster.ts';
import { bringDown } from './down.ts';
import { describe, takeInventory } from './inventory.ts';
import { ensureNetwork, hostPrefixes, linksOf } from './network.ts';
import { freeSubnet, makeRecord } from './record.ts';

const instance = `tn${process.pid % 100000}`;
const state = mkdtempSync(join(tmpdir(), 'cirri-network-'));
const paths = statePaths(instance, state);
const record = makeRecord({ instance, version: '0', nodes: 2, subnet: freeSubnet(hostPrefixes())!, routing: 'tunnel', apiserverPort: 1 });
const silent = { step: <T>(_: string, run: () => T | Promise<T>) => Promise.resolve(run()), note: () => {} };

before(() => ensureNetwork(record, paths));
after(async () => {
  await bringDown({ instance, paths, keepState: false }, silent);
  rmSync(state, { recursive: true, force: true });
});

const inNode = (name: string, ...command: string[]) =>
  execFileSync('nsenter', [`--net=${paths.node(name).netns}`, ...command], { encoding: 'utf8' });

test('nodes reach each other over both families, without waiting for anything', async () => {
  const [one, two] = record.nodes;
  const connect = (family: string, address: string) => `
    const net = require('node:net');
    const socket = net.connect({ host: '${address}', port: 9, family: ${family} });
    socket.on('error', error => { console.log(error.code); });
    setTimeout(() => { console.log('silence'); process.exit(1); }, 3000).unref();`;
  // A refusal is an answer of the other node's own stack.
  assert.equal(inNode(one!.name, process.execPath, '-e', connect('4', two!.underlay4)).trim(), 'ECONNREFUSED');
  assert.equal(inNode(two!.name, process.execPath, '-e', connect('6', one!.underlay6)).trim(), 'ECONNREFUSED');
  assert.equal(inNode(one!.name, process.execPath, '-e', connect('4', record.underlay.host4)).trim(), 'ECONNREFUSED');
});

test('a second time makes nothing; what was taken away is made again', () => {
  assert.deepEqual(ensureNetwork(record, paths), []);
  execFileSync('ip', ['link', 'delete', `${instance}-n1`]);
  assert.deepEqual(ensureNetwork(record, paths), ['device of node1']);
  assert.deepEqual(ensureNetwork(record, paths), []);
});

test('the host reaches load balancer addresses over every node, and a route that lost its ways is made again', () => {
  const routes = (family: string, to: string) => execFileSync('ip', [family, 'route', 'show', to], { encoding: 'utf8' });
  for (const [family, to, ways] of [['-4', record.loadBalancerCidr4, record.nodes.map(n => n.underlay4)], ['-6', record.loadBalancerCidr6, record.nodes.map(n => n.underlay6)]] as const) {
    const text = routes(family, to);
    for (const way of ways) assert.ok(text.includes(`via ${way} dev ${record.underlay.bridge}`), text);
    execFileSync('ip', [family, 'route', 'del', to]);
    execFileSync('ip', [family, 'route', 'add', to, 'via', ways[0]!]);
    assert.deepEqual(ensureNetwork(record, paths), [`route to ${to}`]);
    assert.equal(routes(family, to), text);
  }
  assert.deepEqual(ensureNetwork(record, paths), []);
});

test('the inventory finds it all, and down removes it all', async () => {
  assert.deepEqual(linksOf(instance).sort(), [`${instance}-n1`, `${instance}-n2`, `${instance}0`]);
  const { removed } = await bringDown({ instance, paths, keepState: true }, silent);
  assert.ok(removed >= 5);
  assert.deepEqual(describe(takeInventory(instance, state)), []);
  assert.equal((await bringDown({ instance, paths, keepState: true }, silent)).removed, 0, 'down of nothing is fine');
  assert.ok(ensureNetwork(record, paths).length > 0);
});
