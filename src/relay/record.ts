import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `relay.json` in the Hubble folder: where the relay and the web UI of this instance listen. */
export interface RelayRecord {
  readonly grpc?: { readonly host: string; readonly port: number };
  readonly web?: { readonly host: string; readonly port: number };
}

/** Empty when nothing is recorded. */
export function readRelayRecord(hubbleDir: string): RelayRecord {
  try {
    return JSON.parse(readFileSync(join(hubbleDir, 'relay.json'), 'utf8')) as RelayRecord;
  } catch {
    return {};
  }
}

/** Writes these fields; others stay. */
export function writeRelayRecord(hubbleDir: string, part: RelayRecord): void {
  mkdirSync(hubbleDir, { recursive: true, mode: 0o700 });
  const path = join(hubbleDir, 'relay.json');
  writeFileSync(`${path}.new`, `${JSON.stringify({ ...readRelayRecord(hubbleDir), ...part })}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
