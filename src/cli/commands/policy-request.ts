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
