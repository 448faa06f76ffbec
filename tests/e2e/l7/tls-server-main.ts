/** HTTP/1.1 and HTTP/2 over TLS, and in the clear: `CERTIFICATE KEY TLS-PORT PORT`, files in PEM. Says who asked for what. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createSecureServer } from 'node:http2';

const [certificate, key, tlsPort, port] = process.argv.slice(2) as [string, string, string, string];
const answer = (request: { httpVersion: string; url?: string | undefined; socket: { remoteAddress?: string | undefined } }, response: { end(text: string): unknown }) => {
  console.log(`${request.socket.remoteAddress?.replace('::ffff:', '')} ${request.url}`);
  response.end(`${request.httpVersion} ${request.url}\n`);
};
createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key), allowHTTP1: true }, answer).listen(Number(tlsPort), '::');
createServer(answer).listen(Number(port), '::');
