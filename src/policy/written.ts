/** Where in an object as its author wrote it a parsed peer or requirement stands. */
import { labelKeys } from '../model/identity.ts';
import { selectorKey } from '../model/selector.ts';
import type { Requirement } from '../model/selector.ts';
import { valueAt } from './edit.ts';

/** Where the i-th peer of a rule was written; entities stand for several peers, so for them the whole list. */
export function peerPath(object: unknown, entry: string, index: number): string {
  const fields = valueAt(object, entry);
  const name = typeof fields === 'object' && fields !== null
    ? Object.keys(fields).find(k => (/^(from|to)([A-Z]|$)/.test(k)) && !/^toPorts$|Requires$/.test(k) && Array.isArray((fields as Record<string, unknown>)[k]))
    : undefined;
  if (name === undefined) return entry;
  if (/Entities|Groups|FQDNs/.test(name)) return `${entry}.${name}`;
  return name === 'from' || name === 'to' ? itemPath(valueAt(object, `${entry}.${name}`) as readonly unknown[], `${entry}.${name}`, index) : `${entry}.${name}[${index}]`;
}

/** One entry may be several peers: each network, each name; nodes are the own one and the others. */
function itemPath(list: readonly unknown[], path: string, index: number): string {
  let rest = index;
  for (const [i, item] of list.entries()) {
    const at = `${path}[${i}]`;
    const fields = (typeof item === 'object' && item !== null ? item : {}) as Readonly<Record<string, unknown>>;
    const many = ['networks', 'domainNames'].find(key => Array.isArray(fields[key]));
    const count = many !== undefined ? (fields[many] as readonly unknown[]).length : fields['nodes'] === undefined ? 1 : 2;
    if (rest < count) return many === undefined ? at : `${at}.${many}[${rest}]`;
    rest -= count;
  }
  return path;
}

/** `…fromEndpoints[0].matchLabels.app`; what scope added stands at the selector itself. */
export function requirementPath(object: unknown, path: string, r: Requirement): string {
  return writtenAt(object, path, r) ?? path;
}

export function isWritten(object: unknown, path: string, r: Requirement): boolean {
  return writtenAt(object, path, r) !== undefined;
}

/** Below an entry of peers, where its selectors may stand. */
const selectorFields = ['', '.podSelector', '.namespaceSelector', '.pods.podSelector', '.pods.namespaceSelector', '.namespaces', '.nodes'];

function writtenAt(object: unknown, path: string, r: Requirement): string | undefined {
  const key = r.key.startsWith(labelKeys.namespaceLabels) ? r.key.slice(labelKeys.namespaceLabels.length) : r.key;
  for (const field of selectorFields) {
    const at = path + field;
    const wanted = /[nN]amespace/.test(field) ? key : r.key;
    const labels = valueAt(object, `${at}.matchLabels`);
    for (const text of Object.keys(typeof labels === 'object' && labels !== null ? labels : {})) {
      if (selectorKey(text).key === wanted) return `${at}.matchLabels[${text}]`;
    }
    const expressions = valueAt(object, `${at}.matchExpressions`);
    const index = Array.isArray(expressions) ? expressions.findIndex(e => selectorKey(String((e as { key?: unknown } | null)?.key)).key === wanted) : -1;
    if (index >= 0) return `${at}.matchExpressions[${index}]`;
  }
  return undefined;
}
