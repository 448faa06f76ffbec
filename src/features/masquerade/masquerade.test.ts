import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { RuntimeFlag } from '../../datapath/generated/enums.ts';
import { maps as specs } from '../../datapath/generated/maps.ts';
import { BpfMap } from '../../ebpf/map.ts';
import type { ConfigMap } from '../../kube/types.ts';
import { defaultSettings, type Settings } from '../../model/settings.ts';
import { silentLogger } from '../../std/log.ts';
import { waitFor } from '../../std/async.ts';
import { Table } from '../../table/table.ts';
import { masqueradeExclusions, readMasqueradeConfig, usualExclusions } from './exclusions.ts';
import { startMasquerade } from './start.ts';

const linkLocal = ['169.254.0.0/16', 'fe80::/10'];
const on = (config: Partial<Settings['ipMasqAgent']['config']> = {}): Settings['ipMasqAgent'] => ({ enabled: true, config: { ...defaultSettings.ipMasqAgent.config, ...config } });

test('turned off, everything is masqueraded, whatever a list says', () => {
  assert.deepEqual(masqueradeExclusions({ ...on({ nonMasqueradeCIDRs: ['10.0.0.0/8'] }), enabled: false }, undefined), []);
});

test("without a list ip-masq-agent's own holds, with link-local addresses unless those are to be masqueraded", () => {
  assert.deepEqual(masqueradeExclusions(on(), undefined), [...usualExclusions, ...linkLocal].sort());
  assert.deepEqual(masqueradeExclusions(on({ masqLinkLocal: true, masqLinkLocalIPv6: true }), undefined), [...usualExclusions].sort());
  assert.deepEqual(masqueradeExclusions(on({ nonMasqueradeCIDRs: ['172.30.1.7/24', '172.30.1.0/24', 'fd00::1/8'] }), undefined), [...linkLocal, '172.30.1.0/24', 'fd00::/8'].sort());
});

test('the ConfigMap comes before the settings; an empty list of its own means none, an absent one the usual', () => {
  const from = (text: string) => masqueradeExclusions(on({ nonMasqueradeCIDRs: ['10.9.0.0/16'] }), readMasqueradeConfig(text));
  assert.deepEqual(from('nonMasqueradeCIDRs: [10.1.0.0/16]\nmasqLinkLocal: true\nresyncInterval: 60s\n'), ['10.1.0.0/16', 'fe80::/10']);
  assert.deepEqual(from('{"nonMasqueradeCIDRs": []}'), linkLocal);
  assert.deepEqual(from(''), [...usualExclusions, ...linkLocal].sort());
});

test('a configuration that cannot be meant is refused by the name of its field', () => {
  for (const [text, message] of [
    ['nonMasqueradeCIDR: [10.0.0.0/8]', /no field nonMasqueradeCIDR;/], ['nonMasqueradeCIDRs: 10.0.0.0/8', /must be a list/], ['nonMasqueradeCIDRs: [10.0.0.0/8, ten]', /nonMasqueradeCIDRs\[1\]: "ten"/],
    ['masqLinkLocal: perhaps', /masqLinkLocal must be/], ['- a', /mapping/], ['{', /neither YAML nor JSON/], ['nonMasqueradeCIDRs: [10.0.0.0/40]', /not a prefix/],
  ] as const) assert.throws(() => readMasqueradeConfig(text), message, text);
});

const exclusions = BpfMap.create(specs.masqueradeExclusions);
const runtime = BpfMap.create(specs.runtime);
const stop = new AbortController();
after(() => {
  stop.abort();
  exclusions.close();
  runtime.close();
});

const inKernel = () => [...exclusions.entries()].length;
const flag = () => (runtime.lookup(0)!.flags & RuntimeFlag.MasqueradeExclusions) !== 0;
const configMap = (text: string): ConfigMap => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ip-masq-agent', namespace: 'kube-system' }, data: { config: text } });

test('the kernel follows the ConfigMap; its flag is set exactly while there are rows, and what others keep there stays', async () => {
  runtime.update(0, { policyGeneration: 7, flags: RuntimeFlag.HostPolicy });
  const configMaps = new Table<ConfigMap>('configmaps', object => `${object.metadata.namespace}/${object.metadata.name}`);
  const producer = configMaps.producer('test');
  // Between the two updates of a change the flag must never say more or less than the map: each write of it looks.
  const seen: (readonly [boolean, number])[] = [];
  const watched = { lookup: (key: number) => runtime.lookup(key), update: (key: number, value: { policyGeneration: number; flags: number }) => {
    runtime.update(key, value);
    seen.push([flag(), inKernel()]);
  } };
  const own = new AbortController();
  const masquerade = startMasquerade({ settings: on() }, { configMaps, maps: { masqueradeExclusions: exclusions, runtime: watched }, log: silentLogger, signal: own.signal });
  assert.equal(inKernel(), 0, 'nothing before the object could have been read');
  const settled = (count: number) => waitFor(`${count} rows`, () => inKernel() === count && masquerade.reconciler.settled);
  producer.synced();
  configMaps.upsert(configMap('nonMasqueradeCIDRs: [10.1.0.0/16, fd00::/8]'));
  await settled(4);
  assert.ok(flag());
  configMaps.upsert(configMap('nonMasqueradeCIDR: []'));
  await waitFor('the complaint', () => masquerade.trouble !== undefined);
  assert.equal(inKernel(), 4, 'a broken configuration changes nothing');
  configMaps.upsert(configMap('{nonMasqueradeCIDRs: [], masqLinkLocal: true, masqLinkLocalIPv6: true}'));
  await settled(0);
  assert.equal(masquerade.trouble, undefined);
  assert.ok(!flag());
  assert.deepEqual(seen, [[true, 4], [false, 4]], 'set after the first row, cleared before the last goes');
  assert.deepEqual(runtime.lookup(0), { policyGeneration: 7, flags: RuntimeFlag.HostPolicy });
  own.abort();
});

test('an agent that starts again takes over what it finds, and one that is told not to exclude removes it', async () => {
  const configMaps = new Table<ConfigMap>('configmaps', object => `${object.metadata.namespace}/${object.metadata.name}`);
  configMaps.producer('test').synced();
  const maps = { masqueradeExclusions: exclusions, runtime };
  const first = new AbortController();
  startMasquerade({ settings: on({ nonMasqueradeCIDRs: ['10.1.0.0/16'] }) }, { configMaps, maps, log: silentLogger, signal: first.signal });
  assert.equal(inKernel(), 3, 'done when it returns');
  first.abort();
  const second = new AbortController();
  startMasquerade({ settings: on({ nonMasqueradeCIDRs: ['10.2.0.0/16'] }) }, { configMaps, maps, log: silentLogger, signal: second.signal });
  assert.equal(inKernel(), 3);
  assert.ok(flag());
  second.abort();
  startMasquerade({ settings: { ...on(), enabled: false } }, { configMaps: new Table<ConfigMap>('configmaps', () => ''), maps, log: silentLogger, signal: stop.signal });
  assert.equal(inKernel(), 0, 'without waiting for an object that has no say');
  assert.ok(!flag());
});
