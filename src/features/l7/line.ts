import type { L7Record } from '../../flows/l7-record.ts';
import type { RecordLine } from '../../model/l7-proxy.ts';

/** As the pipeline takes it: an answer comes from the server. */
export function recordOfLine(line: RecordLine, service: (key: number) => L7Record['service']): L7Record {
  const [timeUs, clientIp, clientPort, serverIp, serverPort, sourceIdentity, destinationIdentity, sourceEndpoint, destinationEndpoint, key, verdict, direction, rule, l7, traceId] = line;
  const client = { ip: clientIp, port: clientPort, identity: sourceIdentity, endpoint: sourceEndpoint };
  const server = { ip: serverIp, port: serverPort, identity: destinationIdentity, endpoint: destinationEndpoint };
  const [source, destination] = l7.type === 'RESPONSE' ? [server, client] : [client, server];
  const asked = key === 0 ? undefined : service(key);
  return { timeNs: BigInt(timeUs) * 1000n, source, destination, protocol: 'TCP', direction, verdict, rule, l7, ...(traceId !== undefined && { traceId }), ...(asked && { service: asked }) };
}
