import type { Json } from '../object.ts';
import type { Schema } from '../schema/schema.ts';

/** Short ways to write structural schemas; the description comes first, as everything in a CRD should have one. */
type Extra = Omit<Schema, 'type' | 'description'>;

export const text = (description: string, extra: Extra = {}): Schema => ({ type: 'string', description, ...extra });
export const flag = (description: string, extra: Extra = {}): Schema => ({ type: 'boolean', description, ...extra });
export const whole = (description: string, extra: Extra = {}): Schema => ({ type: 'integer', description, ...extra });
export const choice = (description: string, values: readonly Json[], extra: Extra = {}): Schema => ({ type: 'string', description, enum: values, ...extra });
export const list = (description: string, items: Schema, extra: Extra = {}): Schema => ({ type: 'array', description, items, ...extra });
export const map = (description: string, values: Schema): Schema => ({ type: 'object', description, additionalProperties: values });
export const anything = (description: string): Schema => ({ type: 'object', description, 'x-kubernetes-preserve-unknown-fields': true });

/** Fields whose name ends in `!` are required. */
export function shape(description: string, fields: { readonly [name: string]: Schema }, extra: Extra = {}): Schema {
  const names = Object.keys(fields);
  const required = names.filter(n => n.endsWith('!')).map(n => n.slice(0, -1));
  const properties = Object.fromEntries(Object.entries(fields).map(([name, schema]) => [name.replace(/!$/, ''), schema]));
  return { type: 'object', description, properties, ...(required.length > 0 ? { required } : {}), ...extra };
}

export const labelSelector = (description: string): Schema => shape(description, {
  matchLabels: map('Labels that must be present with these values. Keys may name a source: k8s:app.', { type: 'string' }),
  matchExpressions: list('Further requirements; all must hold.', shape('A requirement.', {
    'key!': text('The label\'s key.'),
    'operator!': choice('How the label is compared.', ['In', 'NotIn', 'Exists', 'DoesNotExist']),
    values: list('Values for In and NotIn.', { type: 'string' }, { 'x-kubernetes-list-type': 'atomic' }),
  })),
}, { 'x-kubernetes-map-type': 'atomic' });

export const conditions: Schema = list('What became of the object.', shape('One aspect of its state.', {
  'type!': text('Kind of condition.'),
  'status!': choice('Whether it holds.', ['True', 'False', 'Unknown']),
  lastTransitionTime: text('When the status last changed.', { format: 'date-time' }),
  observedGeneration: whole('The generation that it was computed from.', { format: 'int64' }),
  reason: text('Why, in one word.'),
  message: text('Why, in a sentence.'),
}), { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });

/** What each node says of a policy; the operator sums it up in the condition Enforced. */
export const policyNodes: Schema = {
  ...map('What each node enforces of the policy, by the name of the node.', shape('One node\'s word.', {
    enforcing: flag('Whether this version of the policy is in the node\'s kernel, read back and equal, for every endpoint that it selects.'),
    ok: flag('Whether the node could read the policy and load it.'),
    error: text('Why it is not in force.'),
    observedGeneration: whole('The generation that this is about.', { format: 'int64' }),
    annotations: map('The annotations of policy.cirri.io that this is about.', { type: 'string' }),
    lastUpdated: text('When the node last had something new to say.', { format: 'date-time' }),
  })),
};
