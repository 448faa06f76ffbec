import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maps as specs } from '../datapath/generated/maps.ts';
import type { PolicyClass, PolicyClassKey, PolicyVerdict, PolicyVerdictKey } from '../datapath/generated/structs.ts';
import { BpfMap } from '../ebpf/map.ts';
import { PolicySets } from '../features/policy/sets.ts';
import type { CompiledSet } from '../policy/compile.ts';
import { silentLogger } from '../std/log.ts';
import { PolicyAudit } from './policy-audit.ts';

/** Real maps of the kernel with one set of two rows and two identities in them, and an audit of three entries a step. */
function world() {
  const classes: BpfMap<PolicyClassKey, PolicyClass> = BpfMap.create(specs.policyClasses);
  const verdicts: BpfMap<PolicyVerdictKey, PolicyVerdict> = BpfMap.create(specs.policyVerdicts);
  const sets = new PolicySets({ classes, verdicts });
  const compiled: CompiledSet = {
    key: 'a', hash: '1', direction: 'ingress', enforced: true, rules: new Map(), classes: new Map([[300, 1], [301, 1]]),
    verdicts: [
      { class: 0, protocol: null, port: 0, portBits: 0, verdict: 'deny', rule: 1, match: 0, keepEstablished: true },
      { class: 1, protocol: 6, port: 80, portBits: 16, verdict: 'allow', rule: 2, match: 2, shadow: { verdict: 'deny', rule: 9 } },
    ],
  };
  const { id } = sets.ensure(compiled);
  const told: string[] = [];
  let ready = true;
  const audit = new PolicyAudit({ entriesPerStep: 3 }, { sets, log: silentLogger, isReady: () => ready, onDifference: text => told.push(text), now: () => 0 });
  const rounds = (count: number) => {
    const until = audit.status.rounds + count;
    while (audit.status.rounds < until) audit.step();
  };
  return { classes, verdicts, sets, id, told, audit, rounds, setReady: (value: boolean) => { ready = value; }, close: () => { classes.close(); verdicts.close(); } };
}

const row = { prefixBits: 96, class: 1, protocol: 6, port: 80 };

test('steps are bounded, rounds follow one another, and what is right is not told', () => {
  const { audit, told, sets, close } = world();
  sets.sweep();
  audit.step();
  assert.deepEqual(audit.status, { rounds: 0, compared: 3, differences: 0, last: [] });
  audit.step();
  audit.step();
  assert.equal(audit.status.rounds, 1, 'four entries as they should be, and the same four as they are');
  assert.deepEqual(told, []);
  close();
});

test('a verdict that was changed is mended and named, whichever field it is', () => {
  const { verdicts, id, told, rounds, close } = world();
  const key = { ...row, set: id };
  const good = verdicts.lookup(key)!;
  for (const wrong of [{ rule: 5 }, { verdict: 2 }, { match: 1 }, { l7: 1 }, { shadowRule: 8 }, { shadowVerdict: 0 }, { flags: 1 }]) {
    verdicts.update(key, { ...good, ...wrong });
    rounds(2);
    assert.deepEqual(verdicts.lookup(key), good, JSON.stringify(wrong));
  }
  assert.equal(told.length, 7);
  assert.match(told[0]!, /policy set 1: class 1 protocol 6 port 80\/16: rule 2 expected, rule 5 found/);
  assert.match(told[6]!, /flags 0 expected, 1 found/);
  close();
});

test('what was deleted comes back; an identity of another class is put right', () => {
  const { classes, verdicts, id, audit, rounds, close } = world();
  verdicts.delete({ prefixBits: 64, set: id, class: 0, protocol: 0, port: 0 });
  classes.delete({ set: id, identity: 300 });
  classes.update({ set: id, identity: 301 }, { class: 7 });
  rounds(1);
  assert.equal(verdicts.lookup({ prefixBits: 64, set: id, class: 0, protocol: 0, port: 0 })?.flags, 1);
  assert.deepEqual([classes.lookup({ set: id, identity: 300 }), classes.lookup({ set: id, identity: 301 })], [{ class: 1 }, { class: 1 }]);
  assert.deepEqual([audit.status.differences, audit.status.last.length, audit.status.last[0]!.time], [3, 3, '1970-01-01T00:00:00.000Z']);
  close();
});

test('what belongs to nothing goes, once an earlier agent\'s sets have been swept', () => {
  const { classes, verdicts, sets, id, told, rounds, close } = world();
  const plant = () => {
    verdicts.update({ ...row, set: id, port: 443 }, { rule: 66, shadowRule: 0, l7: 0, verdict: 1, match: 2, shadowVerdict: 0, flags: 0 });
    verdicts.update({ ...row, set: 77 }, { rule: 66, shadowRule: 0, l7: 0, verdict: 1, match: 2, shadowVerdict: 0, flags: 0 });
    classes.update({ set: id, identity: 999 }, { class: 1 });
    classes.update({ set: 77, identity: 999 }, { class: 1 });
  };
  plant();
  rounds(1);
  assert.equal(verdicts.count() + classes.count(), 8, 'they may be an earlier agent\'s');
  sets.sweep();
  plant();
  rounds(1);
  assert.equal(verdicts.count() + classes.count(), 4);
  assert.deepEqual(told.map(text => text.replace(/:.*/, '')).sort(), ['policy set 1', 'policy set 1', 'policy set 77', 'policy set 77']);
  close();
});

test('what a changed set has left behind is not strange while it waits to be removed', () => {
  const { sets, classes, told, rounds, close } = world();
  sets.sweep();
  sets.ensure({ key: 'a', hash: '2', direction: 'ingress', enforced: true, rules: new Map(), classes: new Map(), verdicts: [{ class: 0, protocol: null, port: 0, portBits: 0, verdict: 'deny', rule: 1, match: 0, keepEstablished: true }] });
  rounds(2);
  assert.deepEqual(told, []);
  assert.equal(classes.count(), 2);
  close();
});

test('sets that go and come between two steps do not confuse it', () => {
  const { sets, told, audit, rounds, close } = world();
  sets.sweep();
  audit.step();
  sets.retain(new Set());
  rounds(2);
  assert.deepEqual(told, []);
  close();
});

test('nothing is compared before the agent is ready; a map that cannot be read is said, and tried again', () => {
  const { verdicts, audit, setReady, close } = world();
  setReady(false);
  audit.step();
  assert.equal(audit.status.compared, 0);
  setReady(true);
  verdicts.close();
  audit.step();
  assert.match(audit.status.failure ?? '', /used after close|bad file/i);
  close();
});
