import type { Flow } from '../../model/flow.ts';
import { connectionText, hostTexts, idText, identityText, ruleText, showsId, summaryText, typeText, verdictText, type FieldOptions } from './fields.ts';
import { safe } from './safe.ts';

/** `<time>[ [<node>]]: <src> <srcid> <arrow> <dst> <dstid> <type> <verdict> (<summary>)`, and ours `[ [rule <rule>]][ [flow <id>]]`. */
export function compactLine(flow: Flow, options: FieldOptions): string {
  const { paint } = options;
  const hosts = hostTexts(flow, options);
  const source = `${hosts[0]} ${identityText(flow.source, paint)}`;
  const destination = `${hosts[1]} ${identityText(flow.destination, paint)}`;
  // A reply is printed with its ends swapped, so that the client always stands on the left.
  const ends =
    flow.isReply === undefined ? `${source} <> ${destination}`
    : flow.isReply ? `${destination} <- ${source}`
    : `${source} -> ${destination}`;
  const rule = options.ours && options.policyNames ? ruleText(flow) : '';
  const connection = options.ours ? connectionText(flow) : '';
  return (
    `${options.formatTime(flow.time)}${options.nodeNames ? ` [${safe(flow.nodeName)}]` : ''}: ${ends} ` +
    `${typeText(flow, options)} ${verdictText(flow, options)} (${summaryText(flow, paint)})` +
    (rule === '' ? '' : paint.faint(rule)) +
    (connection === '' ? '' : paint.faint(connection)) +
    (showsId(flow, options.ids) ? paint.faint(idText(flow)) : '')
  );
}
