import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ServerSecrets { readonly adminToken: string; readonly signingKey: Buffer }

/** The admin token and the key that signs service-account tokens: random, made once, files 0600. */
export function ensureSecrets(folder: string): ServerSecrets {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return {
    adminToken: ensureFile(join(folder, 'admin.token')),
    signingKey: Buffer.from(ensureFile(join(folder, 'tokens.key')), 'base64url'),
  };
}

function ensureFile(path: string): string {
  if (!existsSync(path)) writePrivate(path, randomBytes(32).toString('base64url'));
  return readFileSync(path, 'utf8').trim();
}

/** Whole or not at all, and never readable by others, not even for a moment. */
export function writePrivate(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
