import type { KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { apiVersionOf } from '../registry/resource.ts';
import type { Entry } from '../store/entry.ts';

/** A stored object in the version that the client speaks. The stored one is not changed; unchanged parts are shared. */
export function toServed(type: ResourceType, stored: KubeObject): KubeObject {
  if (type.conversion) return type.conversion.toServed(stored);
  const apiVersion = apiVersionOf(type);
  return stored.apiVersion === apiVersion ? stored : { ...stored, apiVersion };
}

export function toStored(type: ResourceType, served: KubeObject): KubeObject {
  if (type.conversion) return type.conversion.toStored(served);
  return served.apiVersion === type.storedAs ? served : { ...served, apiVersion: type.storedAs };
}

/** The JSON text of an entry in the client's version; the stored text where they are the same. */
export function servedJson(type: ResourceType, entry: Entry): string {
  return !type.conversion && apiVersionOf(type) === type.storedAs ? entry.json : JSON.stringify(toServed(type, entry.object));
}
