import type { Flow } from '../../model/flow.ts';
import { hostText, idText, identityText, ruleText, safe, showsId, typeText, verdictText, type FieldOptions } from './fields.ts';

/** `<time>[ [<node>]]: <src> <srcid> <arrow> <dst> <dstid> <type> <verdict> (<summary>)[ [rule <rule>]][ [flow <id>]]` */
export function compactLine(flow: Flow, options: FieldOptions & { readonly nodeNames: boolean }): string {
  const { paint } = options;
  const node = options.nodeNames ? ` [${paint.strong(safe(flow.nodeName))}]` : '';
  // A reply is printed with its ends swapped, so that the client always stands on the left.
  const [left, right, arrow] =
    flow.isReply === undefined ? [flow.source, flow.destination, '<>']
    : flow.isReply ? [flow.destination, flow.source, '<-']
    : [flow.source, flow.destination, '->'];
  const rule = options.policyNames ? paint.faint(ruleText(flow)) : '';
  return (
    `${options.formatTime(flow.time)}${node}: ${hostText(flow, left, options)}${identityText(left, paint)} ${arrow} ` +
    `${hostText(flow, right, options)}${identityText(right, paint)} ${typeText(flow)} ${verdictText(flow, options)} (${safe(flow.summary)})` +
    (ruleText(flow) === '' ? '' : rule) +
    (showsId(flow, options.ids) ? paint.faint(idText(flow)) : '')
  );
}
