import { execFileSync } from 'node:child_process';
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CirriError } from '../std/errors.ts';

/** A certificate to be made, with a new key (ECDSA, P-256). */
export interface CertificateRequest {
  /** `FILE.crt` and `FILE.key`. */
  readonly file: string;
  readonly commonName: string;
  /** As openssl writes them: `DNS:name`, `IP:address`. */
  readonly alternatives: readonly string[];
  readonly usage: 'serverAuth' | 'clientAuth';
  readonly days: number;
}

/** An authority of ten years, `ca.crt` and `ca.key` in the folder, made with the `openssl` command. */
export function makeAuthority(folder: string, commonName: string): void {
  openssl(folder, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.key.new']);
  openssl(folder, ['req', '-x509', '-new', '-key', 'ca.key.new', '-sha256', '-days', '3650', '-subj', `/CN=${commonName}`,
    '-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature', '-out', 'ca.crt.new']);
  install(folder, ['ca.key', 'ca.crt']);
}

/** A certificate of the folder's authority. All files are 0600. */
export function makeCertificate(folder: string, { file, commonName, alternatives, usage, days }: CertificateRequest): void {
  const extensions = `subjectAltName=${alternatives.join(',')}\nextendedKeyUsage=${usage}\nkeyUsage=critical,digitalSignature\nbasicConstraints=CA:FALSE\n`;
  writeFileSync(join(folder, `${file}.ext`), extensions, { mode: 0o600 });
  openssl(folder, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${file}.key.new`]);
  openssl(folder, ['req', '-new', '-key', `${file}.key.new`, '-subj', `/CN=${commonName}`, '-out', `${file}.csr`]);
  openssl(folder, ['x509', '-req', '-in', `${file}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-sha256', '-days', String(days), '-extfile', `${file}.ext`, '-out', `${file}.crt.new`]);
  install(folder, [`${file}.key`, `${file}.crt`]);
  for (const name of [`${file}.csr`, `${file}.ext`, 'ca.srl']) rmSync(join(folder, name), { force: true });
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
    throw new CirriError('ERR_CERTIFICATE', `making certificates in ${folder} (openssl ${args[0]})`, { cause, mend: 'install the openssl command and check that the folder can be written' });
  }
}
