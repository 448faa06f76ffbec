import type { DescMessage } from '@bufbuild/protobuf';
import { CirriError } from '../std/errors.ts';
import { FlowSchema } from './generated/flow_pb.js';
import type { FieldTree } from './wire.ts';

/** Which fields of flow.Flow a reader wants. */
export interface FlowMask {
  readonly fields: FieldTree;
  /** Whether it names fields of fields other than the two ends', which are kept encoded as they are wanted. */
  readonly isDeep: boolean;
}

const mostPaths = 256;
/** `source` and `destination`. */
const ends: ReadonlySet<number> = new Set([8, 9]);

/**
 * Paths of a google.protobuf.FieldMask over flow.Flow: `time`, `source.identity`, … A path keeps all that is below it; no
 * paths mean no mask. Throws CirriError ERR_FIELD_MASK naming the path.
 */
export function compileFieldMask(paths: readonly string[]): FlowMask | undefined {
  if (paths.length === 0) return undefined;
  if (paths.length > mostPaths) throw new CirriError('ERR_FIELD_MASK', `invalid fieldmask: ${paths.length} paths; at most ${mostPaths} are taken`);
  const fields = new Map<number, FieldTree | undefined>();
  for (const path of paths) add(fields, path.split('.'), FlowSchema, path);
  return { fields, isDeep: [...fields].some(([number, below]) => below !== undefined && !ends.has(number)) };
}

function add(tree: Map<number, FieldTree | undefined>, names: readonly string[], message: DescMessage, path: string): void {
  const [name, ...rest] = names;
  const field = message.fields.find(candidate => candidate.name === name);
  if (!field) throw new CirriError('ERR_FIELD_MASK', `invalid fieldmask: ${message.typeName} has no field "${name ?? ''}"`, { where: path, mend: 'write paths as in flow.proto: time, verdict, source.pod_name' });
  if (rest.length === 0) return void tree.set(field.number, undefined);
  // As FieldMask's definition has it: only the last part of a path may be a list.
  if (field.fieldKind !== 'message') throw new CirriError('ERR_FIELD_MASK', `invalid fieldmask: "${name}" has no fields of its own`, { where: path });
  if (tree.has(field.number) && tree.get(field.number) === undefined) return;
  const below = (tree.get(field.number) as Map<number, FieldTree | undefined> | undefined) ?? new Map<number, FieldTree | undefined>();
  tree.set(field.number, below);
  add(below, rest, field.message, path);
}
