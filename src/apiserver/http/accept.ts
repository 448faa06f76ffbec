import { notAcceptable } from '../status.ts';

/** The form of an answer: the object, a table for printing, or only metadata. */
export type Form = 'object' | 'table' | 'metadata';

/** Chooses the form from an Accept header; the first that is known wins. 406 when none is. */
export function negotiateForm(header: string | undefined): Form {
  for (const { type, parameters } of parseAccept(header)) {
    if (type !== 'application/json' && type !== 'application/*' && type !== '*/*') continue;
    const as = parameters.get('as');
    if (as === undefined) return 'object';
    if (parameters.get('g') !== 'meta.k8s.io' || !['v1', 'v1beta1'].includes(parameters.get('v') ?? '')) continue;
    if (as === 'Table') return 'table';
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return 'metadata';
  }
  throw notAcceptable(['application/json']);
}

export interface AcceptedType { readonly type: string; readonly parameters: ReadonlyMap<string, string> }

/** The media types of an Accept header in the client's order; q-values are rare here and not weighed. */
export function parseAccept(header: string | undefined): AcceptedType[] {
  if (!header?.trim()) return [{ type: '*/*', parameters: new Map() }];
  return header.split(',').map(item => {
    const [type = '', ...parameters] = item.split(';').map(part => part.trim());
    return { type: type.toLowerCase(), parameters: new Map(parameters.map(p => [p.split('=')[0]!.trim(), p.split('=').slice(1).join('=').trim()])) };
  });
}
