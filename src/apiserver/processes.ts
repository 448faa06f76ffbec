import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Address { readonly host: string; readonly port: number }

/** Where a process that a mirror pod stands for (annotation cirri.io/process) listens on this machine. */
export type ProcessAddress = (process: string) => Address | undefined;

/** The relay (`grpc`) and the web UI (`web`), from the record that they write. */
export function processAddress(hubbleDir: string, process: string): Address | undefined {
  if (process !== 'grpc' && process !== 'web') return undefined;
  try {
    return (JSON.parse(readFileSync(join(hubbleDir, 'relay.json'), 'utf8')) as Record<string, Address | undefined>)[process];
  } catch {
    return undefined;
  }
}
