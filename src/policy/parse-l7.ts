/** Validation of what stands beside ports: HTTP, DNS, Kafka and generic rules, TLS contexts, server names, listeners. */
import { join } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { matchNameFault, matchPatternFault } from './fqdn.ts';
import type { HeaderRule, HttpRule, L7Type } from './http.ts';

export interface L7Rules {
  readonly type: L7Type;
  readonly http?: readonly HttpRule[];
}

/** An L7Rules object that restricts something, or undefined (`rules: {}`, `http: []`). */
export function parseL7Rules(reader: FieldReader, value: unknown, path: string): L7Rules | undefined {
  const fields = reader.object(value, path, ['http', 'dns', 'kafka', 'l7proto', 'l7']);
  if (!fields) return undefined;
  const httpRules: HttpRule[] = [];
  const http = parseEach(reader, fields, path, 'http', (r, item, at) => httpRules.push(...parseHttpRule(r, item, at)));
  const dns = parseEach(reader, fields, path, 'dns', parseDnsRule);
  const kafka = parseEach(reader, fields, path, 'kafka', parseKafkaRule);
  const generic = parseGenericRules(reader, fields, path);
  const types = [http && 'http', dns && 'dns', kafka && 'kafka', generic && 'l7proto'].filter(Boolean) as L7Type[];
  if (types.length > 1) reader.fail(path, `multiple L7 protocol rule types specified in single rule: ${types.join(', ')}`, 'write one toPorts entry for each type');
  const [type] = types;
  return type && { type, ...(type === 'http' && { http: httpRules }) };
}

function parseEach(reader: FieldReader, fields: Fields, path: string, key: string, parse: (reader: FieldReader, value: unknown, path: string) => unknown): boolean {
  const list = reader.list(fields[key], join(path, key)) ?? [];
  list.forEach((item, i) => parse(reader, item, `${join(path, key)}[${i}]`));
  return list.length > 0;
}

function parseHttpRule(reader: FieldReader, value: unknown, path: string): readonly HttpRule[] {
  const fields = reader.object(value, path, ['path', 'method', 'host', 'headers', 'headerMatches']);
  if (!fields) return [{ headers: [] }];
  for (const key of ['path', 'method'] as const) checkExpression(reader, fields[key], join(path, key));
  const host = reader.string(fields['host'], join(path, 'host'));
  const headers = (reader.strings(fields['headers'], join(path, 'headers')) ?? []).map((header, i) => {
    if (header.trim() === '') reader.fail(`${path}.headers[${i}]`, 'empty header', 'write "Name: value", or "Name" for its presence');
    return headerOf(header);
  });
  const matches: HeaderRule[] = [];
  parseEach(reader, fields, path, 'headerMatches', (r, item, at) => matches.push(...parseHeaderMatch(r, item, at)));
  const text = (key: 'path' | 'method') => (typeof fields[key] === 'string' && fields[key] !== '' ? { [key]: fields[key] } : {});
  return [{ ...text('path'), ...text('method'), ...(host && { host }), headers: [...headers, ...matches] }];
}

/** `Name: value` is that value exactly, `Name` is presence; the first space parts them (upstream). */
function headerOf(text: string): HeaderRule {
  const space = text.indexOf(' ');
  return space < 0 ? { name: text } : { name: text.slice(0, space).replace(/:$/, ''), value: text.slice(space + 1) };
}

/** A mismatch other than a drop rewrites and logs, and lets the request pass: it is no condition. */
function parseHeaderMatch(reader: FieldReader, value: unknown, path: string): readonly HeaderRule[] {
  const fields = reader.object(value, path, ['name', 'value', 'secret', 'mismatch']);
  if (!fields) return [];
  const name = reader.string(fields['name'], join(path, 'name'));
  if (!name) reader.fail(join(path, 'name'), 'header name is missing', 'name the header');
  const text = reader.string(fields['value'], join(path, 'value'));
  const mismatch = reader.oneOf(fields['mismatch'], join(path, 'mismatch'), ['', 'LOG', 'ADD', 'DELETE', 'REPLACE']);
  const secret = parseSecret(reader, fields['secret'], join(path, 'secret'));
  if (!name || mismatch) return [];
  return [{ name, ...(text ? { value: text } : {}), ...(secret && { secret: true as const }) }];
}

/** Go's RE2 as far as it can be judged here: what RE2 lacks is refused, what only RE2 has is rewritten before the try. */
function checkExpression(reader: FieldReader, value: unknown, path: string): void {
  const text = reader.string(value, path);
  if (text === undefined || text === '') return;
  const mend = 'write an RE2 expression; "*" alone is not one, ".*" is';
  if (/\(\?(<?[=!])/.test(text) || /\\[1-9]/.test(text)) return void reader.fail(path, `invalid regular expression "${text}": lookaround and back references do not exist in RE2`, mend);
  const rewritten = text.replaceAll(/\(\?[imsU]+\)/g, '').replaceAll(/\(\?[imsU]+:/g, '(?:').replaceAll('(?P<', '(?<').replaceAll(/\[:\^?[a-z]+:\]/g, 'a-z').replaceAll(/\\[Az]/g, '');
  try {
    new RegExp(rewritten);
  } catch (error) {
    reader.fail(path, `invalid regular expression "${text}": ${(error as Error).message}`, mend);
  }
}

/** One of matchName and matchPattern: a DNS rule and a toFQDNs entry alike. Gives it in lower case, without a final dot. */
export function parseDnsRule(reader: FieldReader, value: unknown, path: string): string | undefined {
  const fields = reader.object(value, path, ['matchName', 'matchPattern']);
  if (!fields) return reader.fail(path, 'must be an object', 'give matchName or matchPattern');
  const name = reader.string(fields['matchName'], join(path, 'matchName')) || undefined;
  const pattern = reader.string(fields['matchPattern'], join(path, 'matchPattern')) || undefined;
  if (name !== undefined && pattern !== undefined) return reader.fail(path, 'only one of MatchName or MatchPattern is allowed', 'write two entries');
  if (name === undefined && pattern === undefined) return reader.fail(path, 'one of MatchName or MatchPattern must be specified', 'give matchName: "example.com" or matchPattern: "*.example.com"');
  const fault = name !== undefined ? matchNameFault(name) : matchPatternFault(pattern!);
  if (fault) return reader.fail(join(path, name !== undefined ? 'matchName' : 'matchPattern'), `invalid characters in "${name ?? pattern}": ${fault}`, 'write a DNS name without scheme, port or path');
  return (name ?? pattern!).toLowerCase().replace(/(.)\.$/, '$1');
}

const kafkaApiKeys: readonly string[] = [
  'produce', 'fetch', 'offsets', 'metadata', 'leaderandisr', 'stopreplica', 'updatemetadata', 'controlledshutdown', 'offsetcommit',
  'offsetfetch', 'findcoordinator', 'joingroup', 'heartbeat', 'leavegroup', 'syncgroup', 'describegroups', 'listgroups', 'saslhandshake',
  'apiversions', 'createtopics', 'deletetopics', 'deleterecords', 'initproducerid', 'offsetforleaderepoch', 'addpartitionstotxn',
  'addoffsetstotxn', 'endtxn', 'writetxnmarkers', 'txnoffsetcommit', 'describeacls', 'createacls', 'deleteacls', 'describeconfigs', 'alterconfigs',
];

function parseKafkaRule(reader: FieldReader, value: unknown, path: string): void {
  const fields = reader.object(value, path, ['role', 'apiKey', 'apiVersion', 'clientID', 'topic']);
  if (!fields) return;
  const role = reader.string(fields['role'], join(path, 'role')) || undefined;
  const apiKey = reader.string(fields['apiKey'], join(path, 'apiKey')) || undefined;
  if (role && apiKey) reader.fail(path, `cannot set both Role: "${role}" and APIKey: "${apiKey}"`, 'keep one of them');
  if (role && !['produce', 'consume'].includes(role.toLowerCase())) reader.fail(join(path, 'role'), `invalid Kafka role "${role}"`, 'produce or consume');
  if (apiKey && !kafkaApiKeys.includes(apiKey.toLowerCase())) reader.fail(join(path, 'apiKey'), `invalid Kafka API key "${apiKey}"`, `one of: ${kafkaApiKeys.join(', ')}`);
  const version = reader.string(fields['apiVersion'], join(path, 'apiVersion')) || undefined;
  if (version !== undefined && (!/^\d{1,5}$/.test(version) || Number(version) > 32767)) reader.fail(join(path, 'apiVersion'), `invalid API version "${version}"`, 'a number from 0 to 32767 in quotes');
  reader.string(fields['clientID'], join(path, 'clientID'));
  const topic = reader.string(fields['topic'], join(path, 'topic')) || undefined;
  if (topic !== undefined && topic.length > 255) reader.fail(join(path, 'topic'), `kafka topic exceeds maximum len of 255`, 'shorten it');
  if (topic !== undefined && !/^[a-zA-Z0-9._-]+$/.test(topic)) reader.fail(join(path, 'topic'), `invalid Kafka topic name "${topic}"`, 'letters, digits, ".", "_" and "-"');
}

function parseGenericRules(reader: FieldReader, fields: Fields, path: string): boolean {
  const protocol = reader.string(fields['l7proto'], join(path, 'l7proto')) || undefined;
  const rules = reader.list(fields['l7'], join(path, 'l7'));
  if (rules && !protocol) reader.fail(join(path, 'l7'), "'l7' may only be specified when a 'l7proto' is also specified", 'name the parser in l7proto');
  for (const [i, rule] of (rules ?? []).entries()) {
    const at = `${path}.l7[${i}]`;
    if (typeof rule !== 'object' || rule === null || Array.isArray(rule)) reader.fail(at, 'must be a mapping', 'write "key: value" lines');
    else if (Object.keys(rule).includes('')) reader.fail(at, 'empty key not allowed', 'name every key');
  }
  return protocol !== undefined;
}

/** True when a TLS context is given. */
export function parseTls(reader: FieldReader, value: unknown, path: string): boolean {
  const fields = reader.object(value, path, ['secret', 'trustedCA', 'certificate', 'privateKey']);
  if (!fields) return false;
  if (!parseSecret(reader, fields['secret'], join(path, 'secret'))) reader.fail(join(path, 'secret'), 'secret is required', 'name the Secret that holds the certificate');
  for (const key of ['trustedCA', 'certificate', 'privateKey']) reader.string(fields[key], join(path, key));
  return true;
}

function parseSecret(reader: FieldReader, value: unknown, path: string): boolean {
  const fields = reader.object(value, path, ['namespace', 'name']);
  if (!fields) return false;
  reader.string(fields['namespace'], join(path, 'namespace'));
  if (!reader.string(fields['name'], join(path, 'name'))) reader.fail(join(path, 'name'), 'secret name is required', 'name the Secret');
  return true;
}

/** True when server names are required. */
export function parseServerNames(reader: FieldReader, value: unknown, path: string): boolean {
  const names = reader.strings(value, path);
  if (!names) return false;
  if (names.length === 0) reader.fail(path, 'serverNames must have at least one entry', 'remove the field for any name');
  for (const [i, name] of names.entries()) {
    if (name === '') reader.fail(`${path}[${i}]`, 'empty server name is not allowed', 'write a name, or remove the field for any name');
    else if (matchPatternFault(name)) reader.fail(`${path}[${i}]`, `invalid server name "${name}"`, 'write a DNS name; "*" may stand for a part of it');
  }
  return names.length > 0;
}

/** The listener's name, or undefined. */
export function parseListener(reader: FieldReader, value: unknown, path: string): string | undefined {
  const fields = reader.object(value, path, ['envoyConfig', 'name', 'priority']);
  if (!fields) return undefined;
  const config = reader.object(fields['envoyConfig'], join(path, 'envoyConfig'), ['kind', 'name']);
  if (!config) reader.fail(join(path, 'envoyConfig'), 'envoyConfig is required', 'name the CiliumEnvoyConfig with the listener');
  else {
    reader.oneOf(config['kind'], `${path}.envoyConfig.kind`, ['CiliumEnvoyConfig', 'CiliumClusterwideEnvoyConfig']);
    if (!reader.string(config['name'], `${path}.envoyConfig.name`)) reader.fail(`${path}.envoyConfig.name`, 'name is required', 'name the CiliumEnvoyConfig');
  }
  reader.integer(fields['priority'], join(path, 'priority'), 0, 100);
  const name = reader.string(fields['name'], join(path, 'name'));
  if (!name) reader.fail(join(path, 'name'), 'listener name is required', 'name the listener');
  return name || 'unnamed';
}
