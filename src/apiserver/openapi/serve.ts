import type { Call } from '../http/handler.ts';
import type { Registry } from '../registry/registry.ts';
import { noSuchPath } from '../status.ts';
export function createOpenApi(_registry: Registry): (call: Call, path: string) => void { return () => { throw noSuchPath(); }; }
