/** For the tests of this folder. */
import { objectKey } from '../kube/reflector.ts';
import type { KubeObject } from '../kube/types.ts';
import { Table } from '../table/table.ts';
import type { Inputs } from './inputs.ts';

/** Inputs without an API: each collection is an empty table, made when it is first asked for. */
export function tableInputs(): Inputs {
  const tables = new Map<string, Table<KubeObject>>();
  return new Proxy({}, { get: (_, name: string) => {
    if (!tables.has(name)) tables.set(name, new Table<KubeObject>(name, objectKey));
    return { table: tables.get(name) };
  } }) as unknown as Inputs;
}
