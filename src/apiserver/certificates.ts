import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { makeAuthority, makeCertificate } from '../sys/openssl.ts';

export interface Certificates { readonly ca: string; readonly cert: string; readonly key: string }

/**
 * The server's own authority and certificate, made once with the `openssl` command and kept in `folder` (files 0600). The
 * certificate is made again when it does not name an address that it should, or is about to expire.
 */
export function ensureCertificates(folder: string, addresses: readonly string[], now: Date): Certificates {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(folder, name);
  if (!existsSync(path('ca.crt')) || !existsSync(path('ca.key'))) makeAuthority(folder, 'cirri-ca');
  if (!isGood(path('server.crt'), path('ca.crt'), addresses, now) || !existsSync(path('server.key'))) makeCertificate(folder, { file: 'server', commonName: 'cirri-apiserver', alternatives: [...names.map(n => `DNS:${n}`), ...addresses.map(a => `IP:${a}`)], usage: 'serverAuth', days: 3650 });
  const read = (name: string) => readFileSync(path(name), 'utf8');
  return { ca: read('ca.crt'), cert: read('server.crt'), key: read('server.key') };
}

const names = ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
const monthMs = 30 * 24 * 3600 * 1000;

function isGood(certificate: string, authority: string, addresses: readonly string[], now: Date): boolean {
  if (!existsSync(certificate)) return false;
  try {
    const parsed = new X509Certificate(readFileSync(certificate));
    const ca = new X509Certificate(readFileSync(authority));
    return parsed.verify(ca.publicKey) && Date.parse(parsed.validTo) - now.getTime() > monthMs &&
      addresses.every(a => parsed.checkIP(a) !== undefined) && names.every(n => parsed.checkHost(n) !== undefined);
  } catch {
    return false;
  }
}
