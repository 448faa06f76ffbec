import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ciliumCommand } from './cilium-names.ts';
import { commands } from './commands.ts';

const ours = (line: string, node?: string) => ciliumCommand(line.split(' '), node).join(' ');

test('commands of cilium and cilium-dbg by the names that ours have for them', () => {
  assert.equal(ours('monitor --type drop'), 'monitor --type drop');
  assert.equal(ours('endpoint get demo/api'), 'endpoint get demo/api');
  assert.equal(ours('policy trace --from a --to b'), 'policy evaluate --from a --to b');
  assert.equal(ours('ip list'), 'bpf ipcache list');
  assert.equal(ours('hubble port-forward --port-forward 4250'), 'hubble port-forward --port-forward 4250');
  assert.equal(ours('status --brief --all-health'), 'status -v');
  assert.equal(ours('status --verbose'), 'status --verbose');
});

test('in the pod of a node, commands that ask one node ask that one, unless another is named', () => {
  assert.equal(ours('monitor --type drop', 'node2'), 'monitor --type drop --node node2');
  assert.equal(ours('bpf ct list global', 'node2'), 'bpf ct list global --node node2');
  assert.equal(ours('service list --node node1', 'node2'), 'service list --node node1');
  assert.equal(ours('status', 'node2'), 'status');
  assert.equal(ours('bpf --help', 'node2'), 'bpf --help');
});

test('what there is none of says what to use', () => {
  assert.throws(() => ours('connectivity test'), { message: /there is no connectivity test/, mend: /cirri conformance --datapath/ });
  assert.throws(() => ours('hubble disable'), { mend: 'cirri config set hubble.enabled=false' });
  assert.throws(() => ours('node remove x'), { mend: 'cirri get nodes' });
  assert.throws(() => ours('frobnicate'), /cilium frobnicate is not known here/);
});

test('every name leads to a command that exists', () => {
  for (const line of ['monitor', 'status', 'service list', 'endpoint list', 'policy get', 'identity list', 'ip list', 'node list', 'bpf lb list', 'lrp list', 'config view', 'version', 'hubble ui', 'hubble port-forward']) {
    assert.ok(commands.has(ciliumCommand(line.split(' '))[0]!), line);
  }
});
