import { cloneJson, equalJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';
import { ApiError, badRequest } from '../status.ts';

const mostOperations = 10_000;

/** JSON Patch (RFC 6902). Returns the patched copy; the document is not changed. A failed test or a missing path is 422, bad grammar 400. */
export function applyJsonPatch(document: Json, patch: Json | undefined): Json {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > mostOperations) throw new ApiError(413, 'RequestEntityTooLarge', `the allowed maximum operations in a JSON patch is ${mostOperations}, got ${patch.length}`);
  let root = cloneJson(document);
  patch.forEach((operation, index) => {
    if (!isObject(operation) || typeof operation['op'] !== 'string' || typeof operation['path'] !== 'string') {
      throw badRequest(`operation ${index} of the JSON patch needs "op" and "path"`);
    }
    root = applyOperation(root, operation, index);
  });
  return root;
}

function applyOperation(root: Json, operation: JsonObject, index: number): Json {
  const path = parsePointer(String(operation['path']), index);
  const from = () => {
    if (typeof operation['from'] !== 'string') throw badRequest(`operation ${index} (${String(operation['op'])}) of the JSON patch needs "from"`);
    return parsePointer(operation['from'], index);
  };
  const value = () => {
    if (operation['value'] === undefined) throw badRequest(`operation ${index} (${String(operation['op'])}) of the JSON patch needs "value"`);
    return cloneJson(operation['value']);
  };
  switch (operation['op']) {
    case 'add': return add(root, path, value(), index);
    case 'remove': return remove(root, path, index);
    case 'replace':
      read(root, path, index);
      return path.length === 0 ? value() : replace(root, path, value(), index);
    case 'copy': return add(root, path, cloneJson(read(root, from(), index)), index);
    case 'move': {
      const source = from();
      if (path.length > source.length && source.every((part, i) => part === path[i])) throw failed(index, 'cannot move a value into itself');
      const moved = read(root, source, index);
      return add(remove(root, source, index), path, moved, index);
    }
    case 'test':
      if (!equalJson(read(root, path, index), value())) throw failed(index, `the value at "${String(operation['path'])}" is not the tested one`);
      return root;
    default: throw badRequest(`operation ${index} of the JSON patch: "${String(operation['op'])}" is none of add, remove, replace, move, copy, test`);
  }
}

/** RFC 6901: `~1` is a slash, `~0` a tilde. */
function parsePointer(pointer: string, index: number): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw badRequest(`operation ${index} of the JSON patch: the path "${pointer}" must begin with a slash`);
  const parts = pointer.slice(1).split('/').map(part => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  if (parts.includes('__proto__')) throw badRequest(`operation ${index} of the JSON patch: __proto__ is not a field`);
  return parts;
}

function failed(index: number, why: string): ApiError {
  const message = `operation ${index} of the JSON patch: ${why}`;
  // Old kubectls show the causes and nothing else.
  return new ApiError(422, 'Invalid', `the server rejected our request due to an error in our request: ${message}`, { causes: [{ reason: 'FieldValueInvalid', message, field: 'patch' }] });
}

function read(root: Json, path: readonly string[], index: number): Json {
  let current: Json | undefined = root;
  for (const part of path) {
    current = Array.isArray(current) ? current[position(part, current.length - 1, index)] : isObject(current) && Object.hasOwn(current, part) ? current[part] : undefined;
    if (current === undefined) throw failed(index, `there is nothing at "/${path.join('/')}"`);
  }
  return current!;
}

function position(part: string, last: number, index: number): number {
  if (!/^(0|[1-9]\d*)$/.test(part) || Number(part) > last) throw failed(index, `"${part}" is not an index of the list`);
  return Number(part);
}

function parentOf(root: Json, path: readonly string[], index: number): Json[] | JsonObject {
  const parent = read(root, path.slice(0, -1), index);
  if (!Array.isArray(parent) && !isObject(parent)) throw failed(index, `"/${path.slice(0, -1).join('/')}" is neither an object nor a list`);
  return parent;
}

function add(root: Json, path: readonly string[], value: Json, index: number): Json {
  const key = path.at(-1);
  if (key === undefined) return value;
  const parent = parentOf(root, path, index);
  if (Array.isArray(parent)) parent.splice(key === '-' ? parent.length : position(key, parent.length, index), 0, value);
  else parent[key] = value;
  return root;
}

function replace(root: Json, path: readonly string[], value: Json, index: number): Json {
  const parent = parentOf(root, path, index);
  const key = path.at(-1)!;
  if (Array.isArray(parent)) parent[position(key, parent.length - 1, index)] = value;
  else parent[key] = value;
  return root;
}

function remove(root: Json, path: readonly string[], index: number): Json {
  const key = path.at(-1);
  if (key === undefined) throw failed(index, 'the whole object cannot be removed');
  read(root, path, index);
  const parent = parentOf(root, path, index);
  if (Array.isArray(parent)) parent.splice(position(key, parent.length - 1, index), 1);
  else delete parent[key];
  return root;
}
