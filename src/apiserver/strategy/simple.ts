import { asArray, asNumber, asObject, asString, at, ensureObject, equalJson } from '../object.ts';
import type { KubeObject } from '../object.ts';
import type { Hooks } from '../registry/resource.ts';
import { cidrProblem } from '../schema/formats.ts';
import { forbiddenField, invalid, notSupported, required } from '../status.ts';
import type { FieldError } from '../status.ts';
import { selectorErrors } from './workloads.ts';

export const namespaceHooks: Hooks = {
  setDefaults(object) {
    ensureObject(object.metadata, 'labels')['kubernetes.io/metadata.name'] = object.metadata.name;
  },
  prepare(object, old) {
    if (old) return;
    object['spec'] = { finalizers: ['kubernetes'] };
    object['status'] = { phase: 'Active' };
  },
  generationFields: [],
};

export const secretHooks: Hooks = {
  prepare(object) {
    const text = asObject(object['stringData']);
    if (!text) return;
    const data = ensureObject(object, 'data');
    for (const [key, value] of Object.entries(text)) data[key] = Buffer.from(String(value)).toString('base64');
    delete object['stringData'];
  },
  validate(object, old) {
    const errors = immutableData(object, old, ['data']);
    if (old && object['type'] !== old['type']) errors.push(invalid('type', object['type'], 'field is immutable; delete the secret and create it anew'));
    return [...errors, ...keyErrors(object, ['data'])];
  },
  generationFields: [],
};

export const configMapHooks: Hooks = {
  validate: (object, old) => [...immutableData(object, old, ['data', 'binaryData']), ...keyErrors(object, ['data', 'binaryData'])],
  generationFields: [],
};

function keyErrors(object: KubeObject, fields: readonly string[]): FieldError[] {
  return fields.flatMap(field => Object.keys(asObject(object[field]) ?? {}).filter(key => !/^[-._a-zA-Z0-9]{1,253}$/.test(key) || key === '.' || key === '..')
    .map(key => invalid(`${field}[${key}]`, key, "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name')")));
}

function immutableData(object: KubeObject, old: KubeObject | undefined, fields: readonly string[]): FieldError[] {
  if (old?.['immutable'] !== true) return [];
  const errors = fields.filter(f => !equalJson(object[f], old[f])).map(f => forbiddenField(f, 'field is immutable when `immutable` is set'));
  if (object['immutable'] !== true) errors.push(forbiddenField('immutable', 'field is immutable when `immutable` is set'));
  return errors;
}

export const networkPolicyHooks: Hooks = {
  setDefaults(object) {
    const spec = ensureObject(object, 'spec');
    ensureObject(spec, 'podSelector');
    spec['policyTypes'] ??= asArray(spec['egress']).length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
  },
  validate(object) {
    const spec = asObject(object['spec']) ?? {};
    const errors = selectorErrors(asObject(spec['podSelector']), 'spec.podSelector');
    asArray(spec['policyTypes']).forEach((type, i) => {
      if (type !== 'Ingress' && type !== 'Egress') errors.push(notSupported(`spec.policyTypes[${i}]`, type, ['Egress', 'Ingress']));
    });
    for (const [direction, peers] of [['ingress', 'from'], ['egress', 'to']] as const) {
      asArray(spec[direction]).forEach((rule, i) => {
        asArray(at(rule, 'ports')).forEach((port, j) => errors.push(...policyPortErrors(port, `spec.${direction}[${i}].ports[${j}]`)));
        asArray(at(rule, peers)).forEach((peer, j) => errors.push(...peerErrors(peer, `spec.${direction}[${i}].${peers}[${j}]`)));
      });
    }
    return errors;
  },
};

function policyPortErrors(port: unknown, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const protocol = at(port, 'protocol');
  const number = at(port, 'port');
  const end = asNumber(at(port, 'endPort'));
  if (protocol !== undefined && !['TCP', 'UDP', 'SCTP'].includes(String(protocol))) errors.push(notSupported(`${path}.protocol`, protocol, ['SCTP', 'TCP', 'UDP']));
  if (typeof number === 'number' && (number < 1 || number > 65535)) errors.push(invalid(`${path}.port`, number, 'must be between 1 and 65535, inclusive'));
  if (end !== undefined) {
    if (typeof number !== 'number') errors.push(invalid(`${path}.endPort`, end, 'may not be specified when `port` is not a number'));
    else if (end < number || end > 65535) errors.push(invalid(`${path}.endPort`, end, `must be between \`port\` (${number}) and 65535`));
  }
  return errors;
}

function peerErrors(peer: unknown, path: string): FieldError[] {
  const block = asObject(at(peer, 'ipBlock'));
  const selectors = ['podSelector', 'namespaceSelector'].filter(key => at(peer, key) !== undefined);
  if (!block && selectors.length === 0) return [required(path, 'must specify a peer: podSelector, namespaceSelector or ipBlock')];
  const errors = selectors.flatMap(key => selectorErrors(asObject(at(peer, key)), `${path}.${key}`));
  if (!block) return errors;
  if (selectors.length > 0) errors.push(forbiddenField(path, 'may not specify both ipBlock and another peer'));
  const problem = cidrProblem(asString(block['cidr']) ?? '');
  if (problem) errors.push(invalid(`${path}.ipBlock.cidr`, block['cidr'], problem));
  asArray(block['except']).forEach((except, i) => {
    const wrong = cidrProblem(asString(except) ?? '');
    if (wrong) errors.push(invalid(`${path}.ipBlock.except[${i}]`, except, wrong));
  });
  return errors;
}

export const ingressHooks: Hooks = {
  validate(object) {
    const errors: FieldError[] = [];
    const rules = asArray(at(object, 'spec', 'rules'));
    if (rules.length === 0 && !at(object, 'spec', 'defaultBackend')) errors.push(invalid('spec', {}, 'either `defaultBackend` or `rules` must be specified'));
    rules.forEach((rule, i) => asArray(at(rule, 'http', 'paths')).forEach((path, j) => {
      const text = asString(at(path, 'path')) ?? '';
      const type = at(path, 'pathType');
      if ((type === 'Exact' || type === 'Prefix') && !text.startsWith('/')) errors.push(invalid(`spec.rules[${i}].http.paths[${j}].path`, text, 'must be an absolute path'));
    }));
    return errors;
  },
};

export const nodeHooks: Hooks = {
  validate(object) {
    return asArray(at(object, 'spec', 'podCIDRs')).flatMap((cidr, i) => {
      const problem = cidrProblem(String(cidr));
      return problem ? [invalid(`spec.podCIDRs[${i}]`, cidr, problem)] : [];
    });
  },
  generationFields: [],
};

/** Kinds whose objects have no desired state apart from themselves. */
export const plainHooks: Hooks = { generationFields: [] };
