import type { KubeObject } from '../object.ts';
import { cloneJson } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
import { applyMergePatch } from './merge.ts';
export function applyConfiguration(_type: ResourceType, old: KubeObject | undefined, config: KubeObject, _options: { manager: string; apiVersion: string; subresource: string; time: string; force: boolean }): KubeObject {
  return (old ? cloneJson(applyMergePatch(old, config)) : config) as KubeObject;
}
