/** Requests as people write them, on the command line and in tests of policies. */
import { CirriError } from '../std/errors.ts';
import { apiKeyNumber, kafkaApiKeys } from './kafka-keys.ts';
import type { HttpRequest, KafkaRequest } from './requests.ts';

/** `GET /path?query`, and headers as `Name: value`. */
export function readHttpRequest(text: string, headers: readonly string[] = []): HttpRequest {
  const [, method, path] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) +(\/\S*|\*)$/.exec(text.trim()) ?? [];
  if (method === undefined || path === undefined) throw new CirriError('ERR_FLAG', `"${text}" is no request`, { mend: "a method and a path: 'GET /path'" });
  const read = headers.map(header => {
    const [, name, value] = /^([^\s:]+): *(.*)$/.exec(header) ?? [];
    if (name === undefined) throw new CirriError('ERR_FLAG', `"${header}" is no header`, { mend: "'Name: value'" });
    return [name, value!] as const;
  });
  return { method, path, headers: Object.fromEntries(read) };
}

const parts = ['topic', 'client', 'version'] as const;

/** `produce topic=orders topic=bills client=shop version=9`: the first word is the request's name, or its number. */
export function readKafkaRequest(text: string): KafkaRequest {
  const [key = '', ...rest] = text.trim().split(/\s+/);
  const apiKey = /^\d{1,3}$/.test(key) ? Number(key) : apiKeyNumber(key.toLowerCase());
  if (apiKey === undefined) throw new CirriError('ERR_FLAG', `"${key}" is no Kafka request`, { mend: `a number, or one of: ${kafkaApiKeys.join(', ')}` });
  const given = rest.map(word => {
    const [, name, value] = /^([a-z]+)=(.+)$/.exec(word) ?? [];
    if (!(parts as readonly (string | undefined)[]).includes(name)) throw new CirriError('ERR_FLAG', `"${word}" is no part of a Kafka request`, { mend: parts.map(part => `${part}=…`).join(', ') });
    return [name as (typeof parts)[number], value!] as const;
  });
  const of = (part: (typeof parts)[number]) => given.filter(([name]) => name === part).map(([, value]) => value);
  const [version, client] = [of('version').at(-1), of('client').at(-1)];
  if (version !== undefined && !/^\d{1,5}$/.test(version)) throw new CirriError('ERR_FLAG', `"${version}" is no version of a request`, { mend: 'version=9' });
  return { apiKey, topics: of('topic'), ...(version !== undefined && { apiVersion: Number(version) }), ...(client !== undefined && { clientId: client }) };
}
