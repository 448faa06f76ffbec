/**
 * A cluster's policies from nothing: parsed, prepared, all identities known, and the sets of one node's pods, or of all pods. Run it with
 * the options with which the supervisor runs agents. Prints JSON; memory is the whole process's, at its highest.
 *
 *     compile.ts PODS NAMESPACES POLICIES SUBJECTS
 */
import { PolicyEngine } from '../../../src/policy/compile.ts';
import { parsePolicy } from '../../../src/policy/parse.ts';
import { addPrefixIdentities, clusterPodLabels, clusterPolicy, clusterSubject } from '../../../src/policy/testing-size.ts';

const [pods, namespaces, policies, subjects] = process.argv.slice(2).map(Number) as [number, number, number, number];
const laps: Record<string, number> = {};
const started = performance.now();
let last = started;
function lap(name: string): void {
  const now = performance.now();
  laps[name] = now - last;
  last = now;
}

const engine = new PolicyEngine();
for (let i = 0; i < policies; i++) {
  const { policy, errors } = parsePolicy(clusterPolicy(i, namespaces));
  if (!policy) throw new Error(errors.map(error => `${error.path}: ${error.message}`).join('; '));
  engine.upsertPolicy(policy);
}
addPrefixIdentities(engine);
lap('policies');
for (let i = 0; i < pods; i++) engine.upsertIdentity(256 + i, clusterPodLabels(i, namespaces));
lap('identities');
const found = { sets: new Set<string>(), classes: 0, rows: 0 };
for (let k = 0; k < subjects; k++) {
  for (const direction of ['ingress', 'egress'] as const) {
    const set = engine.compile(clusterSubject((k * 7919) % pods, namespaces), direction);
    if (found.sets.has(set.key)) continue;
    found.sets.add(set.key);
    found.classes += set.classes.size;
    found.rows += set.verdicts.length;
  }
}
lap('sets');
process.stdout.write(JSON.stringify({
  subjects, sets: found.sets.size, classes: found.classes, rows: found.rows, ms: performance.now() - started, cpuMs: (process.cpuUsage().user + process.cpuUsage().system) / 1000, laps,
  rssMiB: process.resourceUsage().maxRSS / 1024,
}));
