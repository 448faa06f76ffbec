import type { Json } from '../object.ts';
import type { Schema } from './schema.ts';

/**
 * Built-in types are written as a table of text: a type a block, a field a line.
 *
 *     Container: A single application container that runs in a pod.
 *       name! string : Its name, unique in the pod.
 *       ports [ContainerPort] key(containerPort,protocol) merge(containerPort) : Ports that it listens on.
 *       imagePullPolicy string enum(Always,Never,IfNotPresent) : When to pull the image.
 *       protocol string =TCP : …
 *
 * `NAME atomic:` the object is replaced as a whole by server-side apply.
 * `!` required · `[T]` list · `{T}` map · lists are atomic unless `set` or `key(…)`; `key` also makes the strategic merge
 * key its first name, `merge(k)` names another (the API's own patch-merge-key) and `nomerge` leaves it out.
 * `lenient`: upstream lets items with the same key pass.
 * `#N` is the field's number in the protobuf form where it is not its place in the type; `#M.N` inside an inlined message.
 * `plain`: Go keeps the field without a pointer, so that 0 and false say nothing and are not written.
 */
export class TypeLibrary {
  readonly #types = new Map<string, MutableSchema>();

  /** Adds a package's types. `prefix` begins their OpenAPI names (io.k8s.api.core.v1). */
  define(prefix: string, text: string): this {
    let current: MutableSchema | undefined;
    for (const line of text.split('\n')) {
      if (line.trim() === '') continue;
      if (line.startsWith(' ')) {
        if (!current) throw new Error(`a field before any type: ${line}`);
        this.#field(prefix, current, line.trim());
      } else {
        const [name, description = ''] = splitOnce(line, ':');
        const [bare = '', mark] = name.trim().split(' ');
        current = this.#named(prefix, bare);
        current.type = 'object';
        if (mark === 'atomic') current['x-kubernetes-map-type'] = 'atomic';
        current.description = description.trim();
        current.properties = {};
      }
    }
    return this;
  }

  get(prefix: string, name: string): Schema {
    const found = this.#types.get(`${prefix}.${name}`);
    if (!found?.type && !found?.['x-kubernetes-preserve-unknown-fields']) throw new Error(`type ${prefix}.${name} is not declared`);
    return found;
  }

  /** Types that were referred to and never declared: a spelling mistake in a table. */
  undeclared(): string[] {
    return [...this.#types].filter(([, s]) => s.type === undefined).map(([name]) => name);
  }

  #named(prefix: string, name: string): MutableSchema {
    const full = name.includes('/') ? `${packages[name.split('/')[0]!] ?? ''}.${name.split('/')[1]}` : `${prefix}.${name}`;
    const present = this.#types.get(full);
    if (present) return present;
    const made: MutableSchema = { typeName: full };
    this.#types.set(full, made);
    return made;
  }

  #field(prefix: string, owner: MutableSchema, line: string): void {
    const [head, description = ''] = splitOnce(line, ' : ');
    const [nameToken, typeToken, ...markers] = head.trim().split(/\s+/);
    if (!nameToken || !typeToken) throw new Error(`not a field: ${line}`);
    const name = nameToken.endsWith('!') ? nameToken.slice(0, -1) : nameToken;
    if (nameToken.endsWith('!')) owner.required = [...(owner.required ?? []), name];
    const schema = wrapReference(this.#type(prefix, typeToken));
    if (description.trim()) schema.description = description.trim();
    const wire = (owner.wire ??= {});
    for (const marker of markers) {
      if (marker.startsWith('#')) wire[name] = marker.slice(1);
      else if (marker === 'plain') owner.zeroMeansAbsent = [...(owner.zeroMeansAbsent ?? []), name];
      else applyMarker(schema, marker, line);
    }
    // Most messages number their fields in the order of the declaration; apiVersion and kind travel outside them.
    wire[name] ??= String(Object.keys(owner.properties!).filter(key => key !== 'apiVersion' && key !== 'kind').length + 1);
    if (schema.type === 'array' && !schema['x-kubernetes-list-type']) schema['x-kubernetes-list-type'] = 'atomic';
    owner.properties![name] = schema;
  }

  #type(prefix: string, token: string): MutableSchema {
    if (token.startsWith('[')) return { type: 'array', items: this.#type(prefix, token.slice(1, -1)) };
    if (token.startsWith('{')) return { type: 'object', additionalProperties: this.#type(prefix, token.slice(1, -1)) };
    return primitives[token] ?? this.#named(prefix, token);
  }
}

type MutableSchema = { -readonly [K in keyof Schema]: Schema[K] } & { properties?: { [name: string]: Schema }; wire?: { [name: string]: string } };

/** `meta/ObjectMeta` names a type of another package. */
const packages: Readonly<Record<string, string>> = {
  meta: 'io.k8s.apimachinery.pkg.apis.meta.v1',
  core: 'io.k8s.api.core.v1',
};

const primitives: Readonly<Record<string, Schema>> = {
  string: { type: 'string' },
  int: { type: 'integer', format: 'int32' },
  long: { type: 'integer', format: 'int64' },
  number: { type: 'number', format: 'double' },
  bool: { type: 'boolean' },
  time: { type: 'string', format: 'date-time', typeName: 'io.k8s.apimachinery.pkg.apis.meta.v1.Time' },
  microtime: { type: 'string', format: 'date-time', typeName: 'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime' },
  bytes: { type: 'string', format: 'byte' },
  quantity: { 'x-kubernetes-int-or-string': true, format: 'quantity', typeName: 'io.k8s.apimachinery.pkg.api.resource.Quantity' },
  intstr: { 'x-kubernetes-int-or-string': true, format: 'int-or-string', typeName: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString' },
  any: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  json: { 'x-kubernetes-preserve-unknown-fields': true },
};

/**
 * A field that refers to a named type may have a description and a default of its own, and the type may still be growing
 * while the tables are read: so the field is an object whose prototype is the type. OpenAPI tells the two apart by own keys.
 */
function wrapReference(schema: MutableSchema): MutableSchema {
  return Object.create(schema) as MutableSchema;
}

function splitOnce(text: string, separator: string): [string, string?] {
  const i = text.indexOf(separator);
  return i < 0 ? [text] : [text.slice(0, i), text.slice(i + separator.length)];
}

function applyMarker(schema: MutableSchema, marker: string, line: string): void {
  if (marker.startsWith('=')) {
    schema.default = parseDefault(marker.slice(1));
    return;
  }
  const match = /^([a-z-]+)(?:\((.*)\))?$/i.exec(marker);
  const values = match?.[2]?.split(',') ?? [];
  switch (match?.[1]) {
    case 'enum': schema.enum = values; return;
    case 'min': schema.minimum = Number(values[0]); return;
    case 'max': schema.maximum = Number(values[0]); return;
    case 'set':
      schema['x-kubernetes-list-type'] = 'set';
      schema['x-kubernetes-patch-strategy'] = 'merge';
      return;
    case 'key':
      schema['x-kubernetes-list-type'] = 'map';
      schema['x-kubernetes-list-map-keys'] = values;
      schema['x-kubernetes-patch-strategy'] = 'merge';
      schema['x-kubernetes-patch-merge-key'] = values[0]!;
      return;
    case 'merge':
      schema['x-kubernetes-patch-strategy'] = 'merge';
      if (values[0]) schema['x-kubernetes-patch-merge-key'] = values[0];
      return;
    case 'nomerge':
      delete schema['x-kubernetes-patch-strategy'];
      delete schema['x-kubernetes-patch-merge-key'];
      return;
    case 'strategy': schema['x-kubernetes-patch-strategy'] = values.join(','); return;
    case 'atomic':
      if (schema.type === 'array') schema['x-kubernetes-list-type'] = 'atomic';
      else schema['x-kubernetes-map-type'] = 'atomic';
      return;
    case 'lenient': schema.duplicatesAllowed = true; return;
    case 'nullable': schema.nullable = true; return;
    default: throw new Error(`unknown marker "${marker}" in: ${line}`);
  }
}

function parseDefault(text: string): Json {
  if (/^(-?\d+|true|false|\{.*\}|\[.*\])$/.test(text)) return JSON.parse(text) as Json;
  return text === '""' ? '' : text;
}
