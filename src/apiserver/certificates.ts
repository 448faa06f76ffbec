import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { CirriError } from '../std/errors.ts';

export interface Certificates { readonly ca: string; readonly cert: string; readonly key: string }

/**
 * The server's own authority and certificate, made once with the `openssl` command and kept in `folder` (files 0600). The
 * certificate is made again when it does not name an address that it should, or is about to expire.
 */
export function ensureCertificates(folder: string, addresses: readonly string[], now: Date): Certificates {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = (name: string) => join(folder, name);
  if (!existsSync(path('ca.crt')) || !existsSync(path('ca.key'))) makeAuthority(folder);
  if (!isGood(path('server.crt'), path('ca.crt'), addresses, now) || !existsSync(path('server.key'))) makeServer(folder, addresses);
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

function makeAuthority(folder: string): void {
  openssl(folder, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.key.new']);
  openssl(folder, ['req', '-x509', '-new', '-key', 'ca.key.new', '-sha256', '-days', '3650', '-subj', '/CN=cirri-ca',
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature', '-out', 'ca.crt.new']);
  install(folder, ['ca.key', 'ca.crt']);
}

function makeServer(folder: string, addresses: readonly string[]): void {
  const alternatives = [...names.map(n => `DNS:${n}`), ...addresses.map(a => `IP:${a}`)].join(',');
  writeFileSync(join(folder, 'server.ext'), `subjectAltName=${alternatives}\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n`, { mode: 0o600 });
  openssl(folder, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'server.key.new']);
  openssl(folder, ['req', '-new', '-key', 'server.key.new', '-subj', '/CN=cirri-apiserver', '-out', 'server.csr']);
  openssl(folder, ['x509', '-req', '-in', 'server.csr', '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-sha256', '-days', '3650', '-extfile', 'server.ext', '-out', 'server.crt.new']);
  install(folder, ['server.key', 'server.crt']);
  for (const name of ['server.csr', 'server.ext', 'ca.srl']) rmSync(join(folder, name), { force: true });
}

/** New files take their names only when all of them are there: a kill in between leaves nothing half made. */
function install(folder: string, files: readonly string[]): void {
  for (const name of files) {
    chmodSync(join(folder, `${name}.new`), 0o600);
    renameSync(join(folder, `${name}.new`), join(folder, name));
  }
}

function openssl(folder: string, args: readonly string[]): void {
  try {
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
  } catch (cause) {
    throw new CirriError('ERR_CERTIFICATE', `making the API's certificates in ${folder} (openssl ${args[0]})`, { cause, mend: 'install the openssl command and check that the folder can be written' });
  }
}
