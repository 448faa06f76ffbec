import { cloneJson, isObject } from '../object.ts';
import type { Json, JsonObject } from '../object.ts';

/** JSON merge patch (RFC 7386): objects merge, null removes, everything else replaces. Returns a new value. */
export function applyMergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return cloneJson(patch);
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (value !== undefined) result[key] = applyMergePatch(result[key], value);
  }
  return result;
}
