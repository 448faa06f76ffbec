/** What stands beside ports: HTTP, DNS, Kafka and generic rules, TLS contexts, server names, listeners. */
import { join } from './fields.ts';
import type { FieldReader, Fields } from './fields.ts';
import { matchNameFault, matchPatternFault } from './fqdn.ts';
import { expressionFault } from './l7-expression.ts';
import type { DnsRule, HeaderRule, HttpRule, KafkaRule, RuleL7, SecretKey, TlsContext } from './l7-rules.ts';
import { apiKeyNumber, kafkaApiKeys, kafkaRoles } from './kafka-keys.ts';

/** An L7Rules object that restricts something, or undefined (`rules: {}`, `http: []`). Secrets without a namespace lie in this one. */
export function parseL7Rules(reader: FieldReader, value: unknown, path: string, namespace: string): RuleL7 | undefined {
  const fields = reader.object(value, path, ['http', 'dns', 'kafka', 'l7proto', 'l7']);
  if (!fields) return undefined;
  const http = parseEach(reader, fields, path, 'http', (r, item, at) => parseHttpRule(r, item, at, namespace));
  const dns = parseEach(reader, fields, path, 'dns', (r, item, at): DnsRule | undefined => {
    const pattern = parseDnsRule(r, item, at);
    return pattern === undefined ? undefined : { pattern };
  });
  const kafka = parseEach(reader, fields, path, 'kafka', parseKafkaRule);
  const generic = parseGenericRules(reader, fields, path);
  const found: RuleL7[] = [];
  if (http) found.push({ protocol: 'http', rules: http });
  if (dns) found.push({ protocol: 'dns', rules: dns });
  if (kafka) found.push({ protocol: 'kafka', rules: kafka });
  if (generic !== undefined) found.push({ protocol: 'l7proto', name: generic });
  if (found.length > 1) reader.fail(path, `multiple L7 protocol rule types specified in single rule: ${found.map(l7 => l7.protocol).join(', ')}`, 'write one toPorts entry for each type');
  return found[0];
}

/** The rules of a list that has any; what is wrong in one is told, and leaves it out. */
function parseEach<T>(reader: FieldReader, fields: Fields, path: string, key: string, parse: (reader: FieldReader, value: unknown, path: string) => T | undefined): readonly T[] | undefined {
  const list = reader.list(fields[key], join(path, key)) ?? [];
  return list.length === 0 ? undefined : list.map((item, i) => parse(reader, item, `${join(path, key)}[${i}]`)).filter(rule => rule !== undefined);
}

function parseHttpRule(reader: FieldReader, value: unknown, path: string, namespace: string): HttpRule | undefined {
  const fields = reader.object(value, path, ['path', 'method', 'host', 'headers', 'headerMatches']);
  if (!fields) return reader.fail(path, 'must be an object', 'write {} for any request');
  const text = (key: 'path' | 'method' | 'host') => {
    const expression = parseExpression(reader, fields[key], join(path, key));
    return expression === undefined ? {} : { [key]: expression };
  };
  const headers = (reader.strings(fields['headers'], join(path, 'headers')) ?? []).map((header, i) => {
    if (header.trim() === '') reader.fail(`${path}.headers[${i}]`, 'empty header', 'write "Name: value", or "Name" for its presence');
    return headerOf(header);
  });
  const matches = parseEach(reader, fields, path, 'headerMatches', (r, item, at) => parseHeaderMatch(r, item, at, namespace)) ?? [];
  return { ...text('method'), ...text('path'), ...text('host'), headers: [...headers, ...matches] };
}

/** `Name: value` is that value exactly, `Name` is presence; the first space parts them (upstream). */
function headerOf(text: string): HeaderRule {
  const space = text.indexOf(' ');
  return space < 0 ? { name: text } : { name: text.slice(0, space).replace(/:$/, ''), value: text.slice(space + 1) };
}

function parseHeaderMatch(reader: FieldReader, value: unknown, path: string, namespace: string): HeaderRule | undefined {
  const fields = reader.object(value, path, ['name', 'value', 'secret', 'mismatch']);
  if (!fields) return reader.fail(path, 'must be an object', 'give name, and value or secret');
  const name = reader.string(fields['name'], join(path, 'name'));
  const text = reader.string(fields['value'], join(path, 'value')) || undefined;
  const mismatch = reader.oneOf(fields['mismatch'], join(path, 'mismatch'), ['', 'LOG', 'ADD', 'DELETE', 'REPLACE'] as const) || undefined;
  const secret = parseSecret(reader, fields['secret'], join(path, 'secret'), namespace);
  if (!name) return reader.fail(join(path, 'name'), 'header name is missing', 'name the header');
  return { name, ...(text !== undefined && { value: text }), ...(secret !== undefined && { secret }), ...(mismatch && { mismatch }) };
}

/** An RE2 expression; absent and empty are none. */
function parseExpression(reader: FieldReader, value: unknown, path: string): string | undefined {
  const text = reader.string(value, path) || undefined;
  const fault = text === undefined ? undefined : expressionFault(text);
  return fault === undefined ? text : reader.fail(path, `invalid regular expression "${text}": ${fault}`, 'write an RE2 expression; "*" alone is not one, ".*" is');
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

function parseKafkaRule(reader: FieldReader, value: unknown, path: string): KafkaRule | undefined {
  const fields = reader.object(value, path, ['role', 'apiKey', 'apiVersion', 'clientID', 'topic']);
  if (!fields) return reader.fail(path, 'must be an object', 'write {} for any request');
  const role = reader.string(fields['role'], join(path, 'role'))?.toLowerCase() || undefined;
  const apiKey = reader.string(fields['apiKey'], join(path, 'apiKey'))?.toLowerCase() || undefined;
  if (role && apiKey) reader.fail(path, `cannot set both Role: "${role}" and APIKey: "${apiKey}"`, 'keep one of them');
  if (role && !Object.hasOwn(kafkaRoles, role)) return reader.fail(join(path, 'role'), `invalid Kafka role "${role}"`, 'produce or consume');
  const number = apiKey === undefined ? undefined : apiKeyNumber(apiKey);
  if (apiKey && number === undefined) return reader.fail(join(path, 'apiKey'), `invalid Kafka API key "${apiKey}"`, `one of: ${kafkaApiKeys.join(', ')}`);
  const version = reader.string(fields['apiVersion'], join(path, 'apiVersion')) || undefined;
  if (version !== undefined && (!/^\d{1,5}$/.test(version) || Number(version) > 32767)) reader.fail(join(path, 'apiVersion'), `invalid API version "${version}"`, 'a number from 0 to 32767 in quotes');
  const clientId = reader.string(fields['clientID'], join(path, 'clientID')) || undefined;
  const topic = reader.string(fields['topic'], join(path, 'topic')) || undefined;
  if (topic !== undefined && topic.length > 255) reader.fail(join(path, 'topic'), `kafka topic exceeds maximum len of 255`, 'shorten it');
  if (topic !== undefined && !/^[a-zA-Z0-9._-]+$/.test(topic)) reader.fail(join(path, 'topic'), `invalid Kafka topic name "${topic}"`, 'letters, digits, ".", "_" and "-"');
  const keys = role ? { apiKeys: kafkaRoles[role as keyof typeof kafkaRoles], written: `role ${role}` } : number !== undefined ? { apiKeys: [number], written: `apiKey ${apiKey}` } : {};
  return { ...keys, ...(version !== undefined && { apiVersion: Number(version) }), ...(clientId !== undefined && { clientId }), ...(topic !== undefined && { topic }) };
}

/** The parser's name. */
function parseGenericRules(reader: FieldReader, fields: Fields, path: string): string | undefined {
  const protocol = reader.string(fields['l7proto'], join(path, 'l7proto')) || undefined;
  const rules = reader.list(fields['l7'], join(path, 'l7'));
  if (rules && !protocol) reader.fail(join(path, 'l7'), "'l7' may only be specified when a 'l7proto' is also specified", 'name the parser in l7proto');
  for (const [i, rule] of (rules ?? []).entries()) {
    const at = `${path}.l7[${i}]`;
    if (typeof rule !== 'object' || rule === null || Array.isArray(rule)) reader.fail(at, 'must be a mapping', 'write "key: value" lines');
    else if (Object.keys(rule).includes('')) reader.fail(at, 'empty key not allowed', 'name every key');
  }
  return protocol;
}

export function parseTls(reader: FieldReader, value: unknown, path: string, namespace: string): TlsContext | undefined {
  const fields = reader.object(value, path, ['secret', 'trustedCA', 'certificate', 'privateKey']);
  if (!fields) return undefined;
  const secret = parseSecret(reader, fields['secret'], join(path, 'secret'), namespace);
  const entry = (key: string) => reader.string(fields[key], join(path, key)) || undefined;
  const [trustedCa, certificate, key] = [entry('trustedCA'), entry('certificate'), entry('privateKey')];
  if (secret === undefined) return reader.fail(join(path, 'secret'), 'secret is required', 'name the Secret that holds the certificate');
  return { secret, ...(trustedCa !== undefined && { trustedCa }), ...(certificate !== undefined && { certificate }), ...(key !== undefined && { key }) };
}

function parseSecret(reader: FieldReader, value: unknown, path: string, namespace: string): SecretKey | undefined {
  const fields = reader.object(value, path, ['namespace', 'name']);
  if (!fields) return undefined;
  const own = reader.string(fields['namespace'], join(path, 'namespace')) || namespace;
  const name = reader.string(fields['name'], join(path, 'name'));
  return name ? `${own}/${name}` : reader.fail(join(path, 'name'), 'secret name is required', 'name the Secret');
}

/** In lower case; a final dot is none of TLS. */
export function parseServerNames(reader: FieldReader, value: unknown, path: string): readonly string[] | undefined {
  const names = reader.strings(value, path);
  if (!names) return undefined;
  if (names.length === 0) reader.fail(path, 'serverNames must have at least one entry', 'remove the field for any name');
  for (const [i, name] of names.entries()) {
    if (name === '') reader.fail(`${path}[${i}]`, 'empty server name is not allowed', 'write a name, or remove the field for any name');
    else if (matchPatternFault(name)) reader.fail(`${path}[${i}]`, `invalid server name "${name}"`, 'write a DNS name; "*" may stand for a part of it');
  }
  return names.map(name => name.toLowerCase().replace(/(.)\.$/, '$1'));
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
