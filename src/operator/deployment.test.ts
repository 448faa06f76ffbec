import test from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Deployment, ReplicaSet } from '../kube/types.ts';
import { planDeployment } from './deployment.ts';
import { scaled } from './pods.ts';

interface Settings { readonly replicas: number; readonly maxSurge: number | string; readonly maxUnavailable: number | string }

function deployment(image: string, { replicas, maxSurge, maxUnavailable }: Settings, more: object = {}): Deployment {
  return {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace: 'n', uid: 'd', generation: 1 },
    spec: {
      replicas, selector: { matchLabels: { app: 'web' } }, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image }] } }, ...more,
    },
  };
}

/** Replica sets whose pods come, become available and go when the test says so. */
class Sets {
  sets: ReplicaSet[] = [];
  readonly available = new Map<string, number>();
  #age = 0;

  step(d: Deployment): boolean {
    const plan = planDeployment(d, this.sets, [], 0);
    if (plan.create) {
      const made = plan.create as unknown as ReplicaSet;
      const at = new Date(++this.#age * 1000).toISOString();
      this.sets.push({ ...made, metadata: { ...made.metadata, uid: `s${this.#age}`, creationTimestamp: at, generation: 1 } });
    }
    for (const { set, replicas, annotations } of plan.change) {
      const i = this.sets.indexOf(set);
      this.sets[i] = { ...set, metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...annotations } }, spec: { ...set.spec, replicas } };
    }
    this.sets = this.sets.filter(s => !plan.remove.includes(s));
    return plan.create !== undefined || plan.change.length > 0 || plan.remove.length > 0;
  }

  /** Each set's pods move toward its size, `many` of them at most, and are reported. */
  progress(many: number): void {
    this.sets = this.sets.map(set => {
      const name = set.metadata.name;
      const wanted = set.spec.replicas ?? 1;
      const now = Math.min(this.available.get(name) ?? 0, wanted);
      this.available.set(name, Math.min(wanted, now + many));
      const count = this.available.get(name)!;
      return { ...set, status: { replicas: wanted, readyReplicas: count, availableReplicas: count, observedGeneration: 1 } };
    });
  }

  get total(): number {
    return this.sets.reduce((n, s) => n + (s.spec.replicas ?? 1), 0);
  }

  get serving(): number {
    return this.sets.reduce((n, s) => n + Math.min(this.available.get(s.metadata.name) ?? 0, s.spec.replicas ?? 1), 0);
  }

  settle(d: Deployment): void {
    for (let i = 0; i < 500; i++) {
      const moved = this.step(d);
      this.progress(100);
      if (!moved && !this.step(d)) return;
    }
    assert.fail('does not come to rest');
  }
}

const amount = fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 100 }).map(n => `${n}%`));
const settings = fc.record({ replicas: fc.integer({ min: 1, max: 12 }), maxSurge: amount, maxUnavailable: amount });

test('at every moment of any rollouts: no more than replicas + maxSurge pods, no fewer than replicas − maxUnavailable serving', () => {
  fc.assert(fc.property(settings, fc.array(fc.tuple(fc.constantFrom('v1', 'v2', 'v3'), fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 8 })), { minLength: 1, maxLength: 5 }), (s, changes) => {
    const surge = scaled(s.maxSurge, s.replicas, 0, 'up');
    let unavailable = Math.min(s.replicas, scaled(s.maxUnavailable, s.replicas, 0, 'down'));
    if (surge + unavailable === 0) unavailable = 1;
    const sets = new Sets();
    sets.settle(deployment('v1', s));
    const check = () => {
      assert.ok(sets.total <= s.replicas + surge, `${sets.total} pods of at most ${s.replicas + surge}`);
      assert.ok(sets.serving >= s.replicas - unavailable, `${sets.serving} serving of at least ${s.replicas - unavailable}`);
    };
    for (const [image, steps] of changes) {
      for (const many of steps) {
        sets.step(deployment(image, s));
        check();
        sets.progress(many);
      }
    }
    const last = changes.at(-1)![0];
    sets.settle(deployment(last, s));
    check();
    const running = sets.sets.filter(x => (x.spec.replicas ?? 1) > 0);
    assert.deepEqual(running.map(x => [x.spec.template.spec.containers[0]!.image, x.spec.replicas]), [[last, s.replicas]]);
  }));
});

test('a change of size in the middle of a rollout is shared in proportion, and a rollout ends at the new size', () => {
  const s = { replicas: 10, maxSurge: 2, maxUnavailable: 2 };
  const sets = new Sets();
  sets.settle(deployment('v1', s));
  sets.step(deployment('v2', s));
  sets.progress(0);
  sets.step(deployment('v2', s));
  const before = sets.sets.map(x => x.spec.replicas);
  sets.step(deployment('v2', { ...s, replicas: 20 }));
  assert.deepEqual(before, [8, 2]);
  assert.equal(sets.total, 22);
  assert.ok(sets.sets.every(x => (x.spec.replicas ?? 1) > 2));
  sets.settle(deployment('v2', { ...s, replicas: 20 }));
  assert.deepEqual(sets.sets.map(x => x.spec.replicas), [0, 20]);
});

test('a paused deployment takes a new size but not a new template', () => {
  const s = { replicas: 4, maxSurge: 1, maxUnavailable: 0 };
  const sets = new Sets();
  sets.settle(deployment('v1', s));
  sets.settle(deployment('v2', { ...s, replicas: 6 }, { paused: true }));
  assert.deepEqual(sets.sets.map(x => [x.spec.template.spec.containers[0]!.image, x.spec.replicas]), [['v1', 6]]);
});

test('old replica sets beyond the history limit go, oldest revision first', () => {
  const s = { replicas: 1, maxSurge: 1, maxUnavailable: 0 };
  const sets = new Sets();
  for (const image of ['a', 'b', 'c', 'd']) sets.settle(deployment(image, s, { revisionHistoryLimit: 1 }));
  assert.deepEqual(sets.sets.map(x => x.spec.template.spec.containers[0]!.image), ['c', 'd']);
});

test('a rollout that makes no progress says so after its deadline', () => {
  const d = deployment('v1', { replicas: 2, maxSurge: 1, maxUnavailable: 0 });
  const sets = new Sets();
  sets.step(d);
  sets.progress(0);
  const first = planDeployment(d, sets.sets, [], 1_000);
  const waiting = planDeployment({ ...d, status: first.status }, sets.sets, [], 500_000);
  assert.equal(waiting.status.conditions!.find(c => c.type === 'Progressing')!.status, 'True');
  assert.ok(waiting.againMs! <= 102_000);
  const late = planDeployment({ ...d, status: waiting.status }, sets.sets, [], 602_000);
  assert.equal(late.status.conditions!.find(c => c.type === 'Progressing')!.reason, 'ProgressDeadlineExceeded');
});
