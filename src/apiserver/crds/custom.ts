import { asArray, asObject, asObjects, asString, at, ensureObject } from '../object.ts';
import type { JsonObject, KubeObject } from '../object.ts';
import type { Hooks, ResourceType } from '../registry/resource.ts';
import { dnsLabel1035, dnsSubdomain } from '../schema/names.ts';
import { structuralErrors } from '../schema/structural.ts';
import { invalid, required } from '../status.ts';
import type { FieldError } from '../status.ts';
import { timestamp } from '../verbs/context.ts';
import type { ApiContext } from '../verbs/context.ts';
import { customTypes } from './types.ts';

/** Serves what CustomResourceDefinitions define, while they exist. */
export class CustomResources {
  readonly #context: ApiContext;
  readonly #served = new Map<string, readonly ResourceType[]>();

  constructor(context: ApiContext) {
    this.#context = context;
  }

  get hooks(): Hooks {
    return {
      setDefaults: setDefinitionDefaults,
      prepare: (object, old) => this.#setStatus(object, old),
      validate: (object, old) => [...definitionErrors(object), ...(old ? immutableErrors(object, old) : []), ...this.#nameErrors(object)],
      written: object => this.#serve(object),
      removed: object => this.#forget(object),
    };
  }

  /** At start: everything that the store defines. */
  serveStored(): void {
    for (const entry of this.#context.store.collection(definitions).values()) this.#serve(entry.object);
  }

  #serve(definition: KubeObject): void {
    const name = definition.metadata.name;
    for (const type of this.#served.get(name) ?? []) this.#context.registry.remove(type);
    const types = customTypes(definition);
    this.#served.set(name, types);
    for (const type of types) this.#context.registry.add(type);
  }

  /** The objects go with their definition. */
  #forget(definition: KubeObject): void {
    const types = this.#served.get(definition.metadata.name) ?? [];
    this.#served.delete(definition.metadata.name);
    const [type] = types;
    if (type) {
      const { store } = this.#context;
      const entries = [...store.collection(type.collection).values()];
      store.transaction(() => {
        for (const entry of entries) store.remove(type.collection, entry.copy());
      });
    }
    for (const each of types) this.#context.registry.remove(each);
  }

  #setStatus(object: KubeObject, old: KubeObject | undefined): void {
    const now = timestamp(this.#context.now());
    const stored = new Set(asArray(at(old, 'status', 'storedVersions')).map(String));
    for (const version of asObjects(at(object, 'spec', 'versions'))) if (version['storage'] === true) stored.add(String(version['name']));
    const since = (type: string) => asString(at(asArray(at(old, 'status', 'conditions')).find(c => at(c, 'type') === type), 'lastTransitionTime')) ?? now;
    object['status'] = {
      conditions: [
        { type: 'NamesAccepted', status: 'True', lastTransitionTime: since('NamesAccepted'), reason: 'NoConflicts', message: 'no conflicts found' },
        { type: 'Established', status: 'True', lastTransitionTime: since('Established'), reason: 'InitialNamesAccepted', message: 'the initial names have been accepted' },
      ],
      acceptedNames: at(object, 'spec', 'names') ?? {},
      storedVersions: [...stored],
    };
  }

  /** Kinds and names of other resources in the same group cannot be taken. */
  #nameErrors(object: KubeObject): FieldError[] {
    const group = asString(at(object, 'spec', 'group')) ?? '';
    const own = new Set((this.#served.get(object.metadata.name) ?? []).map(t => t.plural));
    const others = this.#context.registry.all().filter(t => t.group === group && !own.has(t.plural));
    const kind = at(object, 'spec', 'names', 'kind');
    const taken = others.find(t => t.kind === kind);
    return taken ? [invalid('spec.names.kind', kind, `"${String(kind)}" is already in use by ${taken.plural}.${taken.group}`)] : [];
  }
}

const definitions = 'apiextensions.k8s.io/customresourcedefinitions';

function setDefinitionDefaults(object: KubeObject): void {
  const names = ensureObject(ensureObject(object, 'spec'), 'names');
  const kind = asString(names['kind']) ?? '';
  names['singular'] ??= kind.toLowerCase();
  names['listKind'] ??= `${kind}List`;
  ensureObject(object, 'spec')['conversion'] ??= { strategy: 'None' };
}

function definitionErrors(object: KubeObject): FieldError[] {
  const spec = asObject(object['spec']) ?? {};
  const group = asString(spec['group']) ?? '';
  const plural = asString(at(spec, 'names', 'plural')) ?? '';
  const errors: FieldError[] = [];
  if (object.metadata.name !== `${plural}.${group}`) errors.push(invalid('metadata.name', object.metadata.name, `must be spec.names.plural+"."+spec.group: name it ${plural}.${group}`));
  const groupProblem = group.includes('.') ? dnsSubdomain(group) : 'should be a domain with at least one dot';
  if (groupProblem) errors.push(invalid('spec.group', group, groupProblem));
  const pluralProblem = dnsLabel1035(plural);
  if (pluralProblem) errors.push(invalid('spec.names.plural', plural, pluralProblem));
  const strategy = asString(at(spec, 'conversion', 'strategy'));
  if (strategy !== undefined && strategy !== 'None') errors.push(invalid('spec.conversion.strategy', strategy, 'only None is served: there are no webhooks here'));
  const versions = asObjects(spec['versions']);
  const stored = versions.filter(v => v['storage'] === true).length;
  if (stored !== 1) errors.push(invalid('spec.versions', versions.map(v => v['name']), 'must have exactly one version marked as storage version'));
  versions.forEach((version, i) => {
    const problem = dnsLabel1035(asString(version['name']) ?? '');
    if (problem) errors.push(invalid(`spec.versions[${i}].name`, version['name'], problem));
    const root = asObject(at(version, 'schema', 'openAPIV3Schema'));
    if (!root) errors.push(required(`spec.versions[${i}].schema.openAPIV3Schema`, 'schemas are required'));
    else errors.push(...structuralErrors(root, `spec.versions[${i}].schema.openAPIV3Schema`));
    if (root && root['type'] !== 'object') errors.push(invalid(`spec.versions[${i}].schema.openAPIV3Schema.type`, root['type'], 'must be object at the root'));
  });
  return errors;
}

function immutableErrors(object: KubeObject, old: KubeObject): FieldError[] {
  return [['spec', 'group'], ['spec', 'scope'], ['spec', 'names', 'plural'], ['spec', 'names', 'kind']]
    .filter(path => at(object, ...path) !== at(old, ...path)).map(path => invalid(path.join('.'), at(object, ...path), 'field is immutable'));
}

