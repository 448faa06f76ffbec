import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RpcTls } from '../rpc/types.ts';
import { makeAuthority, makeCertificate, type CertificateRequest } from '../sys/openssl.ts';
import { peerServerName } from './names.ts';

const days = 365;
/** Made again when so little is left. */
const renewMs = 30 * 24 * 3600 * 1000;

/**
 * The authority and the certificates of Hubble's API, in `folder` (0700, files 0600): `ca`, `server-NODE` for each node,
 * `relay-client` and `relay-server`, each a `.crt` and a `.key`. What is missing, does not fit or is about to expire is made
 * again; returns what was made. Throws CirriError ERR_CERTIFICATE.
 */
export function ensureHubbleCertificates(folder: string, cluster: { readonly clusterName: string; readonly nodes: readonly { readonly name: string }[] }, now: Date): string[] {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const made: string[] = [];
  if (!isGood(folder, 'ca', [], now)) {
    makeAuthority(folder, 'cirri-hubble-ca');
    made.push('authority of the Hubble API');
  }
  const servers = cluster.nodes.map(({ name }): CertificateRequest => {
    const serverName = peerServerName(name, cluster.clusterName);
    return { file: `server-${name}`, commonName: serverName, alternatives: [`DNS:${serverName}`], usage: 'serverAuth', days };
  });
  const relayNames = { commonName: '*.hubble-relay.cilium.io', alternatives: ['DNS:*.hubble-relay.cilium.io'], days };
  const relay: readonly CertificateRequest[] = [{ file: 'relay-client', ...relayNames, usage: 'clientAuth' }, { file: 'relay-server', ...relayNames, usage: 'serverAuth' }];
  for (const request of [...servers, ...relay]) {
    if (isGood(folder, request.file, request.alternatives, now)) continue;
    makeCertificate(folder, request);
    made.push(`certificate ${request.file}`);
  }
  return made;
}

/** What a node's server listens with. Throws when a file is missing. */
export function serverTls(folder: string, node: string): RpcTls {
  return { ...filesOf(folder, `server-${node}`), requireClient: true };
}

/** What the relay listens with where others than this machine's users reach it: they show a token, no certificate. */
export function relayServerTls(folder: string): RpcTls {
  return filesOf(folder, 'relay-server');
}

/** What the relay connects with; `serverName` is the node's (`peerServerName`). Read anew for each connection: the files change. */
export function clientTls(folder: string, serverName: string): RpcTls {
  return { ...filesOf(folder, 'relay-client'), serverName };
}

function filesOf(folder: string, name: string): { ca: string; cert: string; key: string } {
  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  return { ca: read('ca.crt'), cert: read(`${name}.crt`), key: read(`${name}.key`) };
}

/** Whether a pair is whole, of this authority, bears its names and lasts. */
function isGood(folder: string, name: string, alternatives: readonly string[], now: Date): boolean {
  const [certificatePath, keyPath] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)];
  if (!existsSync(certificatePath) || !existsSync(keyPath)) return false;
  try {
    const certificate = new X509Certificate(readFileSync(certificatePath));
    const authority = new X509Certificate(readFileSync(join(folder, 'ca.crt')));
    const named = certificate.subjectAltName?.split(', ') ?? [];
    return certificate.checkPrivateKey(createPrivateKey(readFileSync(keyPath))) && certificate.verify(authority.publicKey) &&
      Date.parse(certificate.validTo) - now.getTime() > renewMs && alternatives.every(each => named.includes(each));
  } catch {
    return false;
  }
}
