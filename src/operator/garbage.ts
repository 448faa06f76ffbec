import type { KubeObject, OwnerReference } from '../kube/types.ts';

/** How an owner stands: there, on its way out in the foreground (it waits for its dependents), or gone. */
export type OwnerState = 'present' | 'waiting' | 'gone';

export const foregroundFinalizer = 'foregroundDeletion';
export const orphanFinalizer = 'orphan';

export type GarbageStep =
  | { readonly action: 'keep' }
  /** All owners are gone (or wait): delete, in the foreground where an owner waits for it. */
  | { readonly action: 'delete'; readonly policy: 'Background' | 'Foreground' }
  /** Some owners are gone: drop the references to them. */
  | { readonly action: 'detach'; readonly ownerReferences: readonly OwnerReference[] };

/** What becomes of an object, given how each of its owners stands. */
export function garbageStep(object: KubeObject, stateOf: (reference: OwnerReference) => OwnerState): GarbageStep {
  const references = object.metadata.ownerReferences ?? [];
  if (references.length === 0 || object.metadata.deletionTimestamp !== undefined) return { action: 'keep' };
  const states = references.map(stateOf);
  if (states.includes('present')) {
    const left = references.filter((_, i) => states[i] === 'present');
    return left.length === references.length ? { action: 'keep' } : { action: 'detach', ownerReferences: left };
  }
  const waitedFor = references.some((r, i) => states[i] === 'waiting' && r.blockOwnerDeletion === true);
  return { action: 'delete', policy: waitedFor ? 'Foreground' : 'Background' };
}

/** What an owner that carries a deletion finalizer needs next. */
export type FinalizerStep =
  | { readonly action: 'none' }
  | { readonly action: 'finish'; readonly finalizers: readonly string[] }
  | { readonly action: 'wait-for-dependents' }
  | { readonly action: 'orphan-dependents' };

export function finalizerStep(object: KubeObject, dependents: readonly KubeObject[]): FinalizerStep {
  const finalizers = object.metadata.finalizers ?? [];
  if (object.metadata.deletionTimestamp === undefined) return { action: 'none' };
  if (finalizers.includes(orphanFinalizer)) {
    return dependents.length > 0 ? { action: 'orphan-dependents' } : { action: 'finish', finalizers: finalizers.filter(f => f !== orphanFinalizer) };
  }
  if (!finalizers.includes(foregroundFinalizer)) return { action: 'none' };
  const blocking = dependents.some(d => d.metadata.ownerReferences?.some(r => r.uid === object.metadata.uid && r.blockOwnerDeletion === true));
  return blocking ? { action: 'wait-for-dependents' } : { action: 'finish', finalizers: finalizers.filter(f => f !== foregroundFinalizer) };
}
