import type { Labels } from '../selectors.ts';
import { matchesFields, matchesLabels, parseFieldSelector, parseLabelSelector } from '../selectors.ts';
import type { ResourceType } from '../registry/resource.ts';
import type { Entry } from '../store/entry.ts';
import { toServed } from './versions.ts';

/** Which entries of a collection a request is about. `all` when it is about every one, so that nothing need be parsed. */
export interface Selection { readonly all: boolean; matches(entry: Entry): boolean }

export function parseSelection(type: ResourceType, namespace: string | undefined, query: URLSearchParams, name?: string): Selection {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '', ['metadata.name', ...(type.namespaced ? ['metadata.namespace'] : []), ...type.selectableFields]);
  // Names need no parsing; watches of one object and namespaced lists are the common case.
  const wantedName = name ?? fields.find(f => f.path === 'metadata.name' && !f.negated)?.value;
  const others = fields.filter(f => f.path !== 'metadata.name' || f.negated);
  const inner = labels.length > 0 || others.length > 0;
  return {
    all: !inner && namespace === undefined && wantedName === undefined,
    matches(entry) {
      if (namespace !== undefined && entry.namespace !== namespace) return false;
      if (wantedName !== undefined && entry.name !== wantedName) return false;
      if (!inner) return true;
      const object = toServed(type, entry.object);
      return matchesLabels(labels, (object.metadata.labels ?? {}) as Labels) && matchesFields(others, object);
    },
  };
}
