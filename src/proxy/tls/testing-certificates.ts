import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly certificate: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** An authority of a test's own, by openssl; its files go with it. */
export class TestingAuthority implements Disposable {
  readonly #folder: string;
  readonly certificateFile: string;
  readonly certificate: string;

  /** `parent`: where its folder is made. */
  constructor(name = 'ca', parent = tmpdir()) {
    this.#folder = mkdtempSync(join(parent, 'cirri-tls-'));
    this.certificateFile = join(this.#folder, 'ca.crt');
    this.#openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', 'ca.key', '-out', 'ca.crt');
    this.certificate = readFileSync(this.certificateFile, 'utf8');
  }

  issue(...names: readonly [string, ...string[]]): Certificate {
    const [name] = names;
    writeFileSync(join(this.#folder, 'names'), `subjectAltName=${names.map(one => `DNS:${one}`).join(',')}\n`);
    this.#openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    this.#openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names', '-out', `${name}.crt`);
    const [certificateFile, keyFile] = [join(this.#folder, `${name}.crt`), join(this.#folder, `${name}.key`)];
    return { certificate: readFileSync(certificateFile, 'utf8'), key: readFileSync(keyFile, 'utf8'), certificateFile, keyFile };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.#folder, stdio: 'ignore' });
  }
}
