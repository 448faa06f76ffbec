import type { Command } from 'commander';
import { readHttpRequest, readKafkaRequest } from '../../policy/request-text.ts';
import type { L7Request } from '../../policy/requests.ts';
import { CirriError } from '../../std/errors.ts';

export interface RequestFlags {
  readonly http?: string;
  readonly header?: readonly string[];
  readonly kafka?: string;
  readonly dns?: string;
  readonly serverName?: string;
}

export function addRequestOptions(command: Command): Command {
  return command
    .option('--http <request>', "also ask about an HTTP request: 'GET /path'")
    .option('-H, --header <header>', "with --http: 'Name: value' (repeat for more)", (value: string, list: readonly string[] = []) => [...list, value])
    .option('--kafka <request>', "also ask about a Kafka request: 'produce topic=orders client=shop version=9'")
    .option('--dns <name>', 'also ask whether the name may be asked for there')
    .option('--server-name <name>', 'also ask about the name in a TLS handshake');
}

/** The request that the flags describe; undefined: none. */
export function requestOf({ http, header = [], kafka, dns, serverName }: RequestFlags): L7Request | undefined {
  const given = [http !== undefined && '--http', kafka !== undefined && '--kafka', dns !== undefined && '--dns', serverName !== undefined && '--server-name'].filter(flag => flag !== false);
  if (given.length > 1) throw new CirriError('ERR_FLAG', `${given.join(' and ')} are different requests`, { mend: 'ask about one at a time' });
  if (http === undefined && header.length > 0) throw new CirriError('ERR_FLAG', '--header is about a request', { mend: "add --http 'GET /path'" });
  if (http !== undefined) return { http: readHttpRequest(http, header) };
  if (kafka !== undefined) return { kafka: readKafkaRequest(kafka) };
  if (dns !== undefined) return { dns };
  return serverName === undefined ? undefined : { serverName };
}
