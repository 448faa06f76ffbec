import type { JsonObject, KubeObject } from '../object.ts';
import type { ResourceType } from '../registry/resource.ts';
export function trackUpdate(_type: ResourceType, _old: JsonObject, _object: KubeObject, _options: { manager: string; apiVersion: string; subresource: string; time: string }): void {}
