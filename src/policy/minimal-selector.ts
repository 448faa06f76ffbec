/** The fewest labels by which a pod's own kind, and nobody else in its namespace, is selected. */
import { kubernetesLabels } from './scenario.ts';
import type { ScenarioPod } from './scenario.ts';

const usual = ['app.kubernetes.io/name', 'app', 'k8s-app', 'name', 'app.kubernetes.io/component', 'component', 'tier', 'role'];

/** Labels for `matchLabels`; empty for a pod without labels of its own, which selects its whole namespace. */
export function minimalSelector(pod: ScenarioPod, pods: readonly ScenarioPod[]): Readonly<Record<string, string>> {
  const keys = Object.keys(pod.ownLabels).filter(key => pod.labels.hasValue('k8s', key, pod.ownLabels[key]!));
  let others = pods.filter(p => p.namespace === pod.namespace && !p.labels.equals(pod.labels)).map(p => kubernetesLabels(p.ownLabels));
  const chosen: Record<string, string> = {};
  const rank = (key: string) => (usual.includes(key) ? usual.indexOf(key) : usual.length);
  let left = keys.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  while (left.length > 0 && (others.length > 0 || Object.keys(chosen).length === 0)) {
    const counted = left.map(key => ({ key, rest: others.filter(o => o.hasValue('k8s', key, pod.ownLabels[key]!)) }));
    const best = counted.reduce((a, b) => (b.rest.length < a.rest.length ? b : a));
    if (Object.keys(chosen).length > 0 && best.rest.length === others.length) break;
    chosen[best.key] = pod.ownLabels[best.key]!;
    others = best.rest;
    left = left.filter(key => key !== best.key);
  }
  return chosen;
}
