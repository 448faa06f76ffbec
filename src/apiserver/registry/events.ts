import type { JsonObject, KubeObject } from '../object.ts';

/** events.k8s.io/v1 calls fields otherwise than core/v1, in which events are stored. */
const names: readonly (readonly [served: string, stored: string])[] = [
  ['regarding', 'involvedObject'], ['note', 'message'], ['reportingController', 'reportingComponent'],
  ['deprecatedSource', 'source'], ['deprecatedFirstTimestamp', 'firstTimestamp'], ['deprecatedLastTimestamp', 'lastTimestamp'], ['deprecatedCount', 'count'],
];

const toServedName = new Map(names.map(([served, stored]) => [stored, served]));
const toStoredName = new Map(names);

function renamed(object: KubeObject, map: ReadonlyMap<string, string>, apiVersion: string): KubeObject {
  const result: JsonObject = {};
  for (const [key, value] of Object.entries(object)) result[map.get(key) ?? key] = value;
  result['apiVersion'] = apiVersion;
  return result as KubeObject;
}

export const eventConversion = {
  toServed: (stored: KubeObject) => renamed(stored, toServedName, 'events.k8s.io/v1'),
  toStored: (served: KubeObject) => renamed(served, toStoredName, 'v1'),
};
