import { CirriError } from '../../std/errors.ts';

type Json = Readonly<Record<string, unknown>>;
type Tree = Map<string, Tree | undefined>;

/**
 * protobuf's FieldMask over a flow's JSON: `source.namespace` keeps that field of `source` alone, `source` all of it. Paths are those
 * of flow.proto, with its spelling. Throws CirriError for a path that is none.
 */
export function compileMask(paths: readonly string[]): (flow: Json) => Json {
  if (paths.length === 0) return flow => flow;
  const tree: Tree = new Map();
  for (const path of paths) {
    if (!/^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$/.test(path)) throw new CirriError('ERR_FIELD_MASK', `"${path}" is no path of a flow's field`, { mend: 'for example: time, verdict, source.namespace, l4' });
    plant(tree, path.split('.'));
  }
  return flow => pick(flow, tree);
}

function plant(tree: Tree, steps: readonly string[]): void {
  const [first, ...rest] = steps;
  if (rest.length === 0) {
    tree.set(first!, undefined);
    return;
  }
  if (tree.has(first!) && tree.get(first!) === undefined) return;
  const below: Tree = tree.get(first!) ?? new Map();
  tree.set(first!, below);
  plant(below, rest);
}

function pick(value: Json, tree: Tree): Json {
  const kept: Record<string, unknown> = {};
  for (const [name, below] of tree) {
    const field = value[name];
    if (field === undefined) continue;
    if (below === undefined) kept[name] = field;
    else if (typeof field === 'object' && field !== null && !Array.isArray(field)) kept[name] = pick(field as Json, below);
  }
  return kept;
}
