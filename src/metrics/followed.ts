import type { ConfigMap } from '../kube/types.ts';
import { errorText } from '../std/errors.ts';
import type { Logger } from '../std/log.ts';
import { derive } from '../table/derive.ts';
import type { Table } from '../table/table.ts';

export interface FollowOptions {
  readonly place: { readonly namespace: string; readonly name: string; readonly key: string };
  /** Takes the text; undefined when there is no such ConfigMap, or it has no such key. Throws when it cannot be used. */
  readonly take: (text: string | undefined) => void;
}

export interface Followed {
  /** Why what is there now is not followed: what was in force stays. */
  readonly trouble: string | undefined;
  /** The text in force. */
  readonly text: string | undefined;
  /** Milliseconds since 1970. */
  readonly appliedAt: number | undefined;
}

/** Follows one key of a ConfigMap: what cannot be read changes nothing and is said. */
export function followConfigMap(options: FollowOptions, dependencies: { readonly configMaps: Table<ConfigMap>; readonly log: Logger; readonly signal: AbortSignal }): Followed {
  const { place, take } = options;
  const { configMaps, log, signal } = dependencies;
  const state: { trouble: string | undefined; text: string | undefined; appliedAt: number | undefined } = { trouble: undefined, text: undefined, appliedAt: undefined };
  let seen: string | undefined;
  const step = () => {
    if (!configMaps.synced) return;
    const text = configMaps.get(`${place.namespace}/${place.name}`)?.data?.[place.key];
    if (text === seen) return;
    seen = text;
    try {
      take(text);
      Object.assign(state, { trouble: undefined, text, appliedAt: Date.now() });
    } catch (error) {
      state.trouble = `ConfigMap ${place.namespace}/${place.name}, data.${place.key}: ${errorText(error)}`;
      log.warn('a ConfigMap cannot be followed; what was in force stays', { error: state.trouble });
    }
  };
  void derive({ name: `ConfigMap ${place.name}`, inputs: [configMaps], step }, { log, signal });
  return state;
}
