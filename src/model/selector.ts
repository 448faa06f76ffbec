/**
 * Selectors over labels: Kubernetes' LabelSelector with sources in the keys. All requirements must hold. A selector has a
 * canonical text, so that equal selectors of a thousand policies are matched once.
 */
import { anySource, parseSelectLabel } from './labels.ts';
import type { LabelSet } from './labels.ts';

export type Operator = 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';

export interface Requirement {
  readonly source: string;
  readonly key: string;
  readonly operator: Operator;
  /** Sorted; empty for Exists and DoesNotExist. */
  readonly values: readonly string[];
}

export class EndpointSelector {
  /** Sorted by text, without repetitions. */
  readonly requirements: readonly Requirement[];
  /** Canonical: equal texts select the same. The empty selector is ''. */
  readonly text: string;

  private constructor(requirements: readonly Requirement[]) {
    const byText = new Map(requirements.map(r => [requirementText(r), r] as const));
    const texts = [...byText.keys()].sort();
    this.requirements = texts.map(text => byText.get(text)!);
    this.text = texts.join(';');
  }

  static of(requirements: Iterable<Requirement>): EndpointSelector {
    return new EndpointSelector([...requirements].map(r => ({ ...r, values: [...new Set(r.values)].sort() })));
  }

  /** The selector `{}`: everything, unlabelled things too. */
  static readonly everything: EndpointSelector = new EndpointSelector([]);

  /** From `{app: 'web', 'k8s:tier': 'x'}`; keys without a source get `defaultSource`. */
  static ofMatchLabels(labels: Readonly<Record<string, string>>, defaultSource: string = anySource): EndpointSelector {
    return EndpointSelector.of(Object.entries(labels).map(([key, value]) => ({ ...selectorKey(key, defaultSource), operator: 'In' as const, values: [value] })));
  }

  get isEverything(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: LabelSet): boolean {
    for (const requirement of this.requirements) if (!holds(requirement, labels)) return false;
    return true;
  }

  /** This selector with further requirements. */
  and(...requirements: readonly Requirement[]): EndpointSelector {
    return EndpointSelector.of([...this.requirements, ...requirements]);
  }

  /** This selector without the requirements that the test names. */
  without(drop: (requirement: Requirement) => boolean): EndpointSelector {
    return EndpointSelector.of(this.requirements.filter(r => !drop(r)));
  }

  /** As people read it: `app=web, k8s:tier in (a,b)`; `{}` for everything. */
  describe(): string {
    return this.isEverything ? '{}' : this.requirements.map(describeRequirement).join(', ');
  }
}

/** Splits `source:key`; `defaultSource` where none is written. */
export function selectorKey(text: string, defaultSource: string = anySource): { source: string; key: string } {
  const { source, key } = parseSelectLabel(text.split('=')[0]!);
  return { source: source === anySource && !text.startsWith('any:') ? defaultSource : source, key };
}

function holds(requirement: Requirement, labels: LabelSet): boolean {
  const { source, key, operator, values } = requirement;
  switch (operator) {
    case 'Exists': return labels.has(source, key);
    case 'DoesNotExist': return !labels.has(source, key);
    case 'In': return values.length === 1 ? labels.hasValue(source, key, values[0]!) : labels.all(source, key).some(v => values.includes(v));
    case 'NotIn': return !labels.all(source, key).some(v => values.includes(v));
  }
}

function requirementText(r: Requirement): string {
  const id = `${r.source}:${r.key}`;
  switch (r.operator) {
    case 'Exists': return id;
    case 'DoesNotExist': return `!${id}`;
    case 'In': return `${id} in ${JSON.stringify(r.values)}`;
    case 'NotIn': return `${id} notin ${JSON.stringify(r.values)}`;
  }
}

function describeRequirement(r: Requirement): string {
  const id = r.source === anySource ? r.key : `${r.source}:${r.key}`;
  switch (r.operator) {
    case 'Exists': return id;
    case 'DoesNotExist': return `!${id}`;
    case 'In': {
      if (r.values.length !== 1) return `${id} in (${r.values.join(', ')})`;
      return r.values[0] === '' ? id : `${id}=${r.values[0]}`;
    }
    case 'NotIn': return `${id} not in (${r.values.join(', ')})`;
  }
}
