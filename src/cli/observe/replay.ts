import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { compileQuery, type FlowQuery } from '../../flows/query.ts';
import type { Json } from '../../flows/jsonpb.ts';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import type { LostEvents } from '../../flows/print/responses.ts';
import { CirriError } from '../../std/errors.ts';
import type { FlowItem } from '../hubble/flows.ts';

/**
 * Flows of a file of JSON lines, as `observe -o json` and exporters write them, in the order in which they stand there. `-` is
 * standard input. A line that is no flow ends it by its number, or with `skip` is passed over.
 */
export async function* replay(file: string, query: FlowQuery, options: { readonly skip: boolean }): AsyncGenerator<FlowItem, void, undefined> {
  const matches = compileQuery(query);
  const newest: FlowItem[] = [];
  let told = 0;
  let number = 0;
  for await (const text of createInterface({ input: file === '-' ? process.stdin : createReadStream(file), crlfDelay: Infinity })) {
    number++;
    if (text.trim() === '') continue;
    const item = read(text, `${file === '-' ? 'standard input' : file}:${number}`, options.skip);
    if (item === undefined || ('flow' in item && !matches(item.flow))) continue;
    if (!('flow' in item)) yield item;
    else if (query.first !== undefined && told++ >= query.first) return;
    else if (query.last === undefined) yield item;
    else {
      newest.push(item);
      if (newest.length > 2 * query.last) newest.splice(0, newest.length - query.last);
    }
  }
  yield* query.last === undefined ? [] : newest.slice(-query.last);
}

function read(text: string, where: string, skip: boolean): FlowItem | undefined {
  let json: Json;
  try {
    json = JSON.parse(text) as Json;
  } catch (error) {
    if (skip) return undefined;
    throw new CirriError('ERR_FLOW_FILE', 'not a flow in JSON', { where, cause: error, mend: 'one flow a line, as observe -o json writes them; -s passes over what is not' });
  }
  const lost = json['lost_events'] as Json | undefined;
  if (lost) {
    return {
      lost: {
        source: (lost['source'] ?? 'UNKNOWN_LOST_EVENT_SOURCE') as 'HUBBLE_RING_BUFFER', count: Number(lost['num_events_lost'] ?? 0), nodeName: String(json['node_name'] ?? ''), time: String(json['time'] ?? ''),
        ...(lost['cpu'] !== undefined && { cpu: Number(lost['cpu']) }), ...(lost['first'] !== undefined && { first: String(lost['first']) }), ...(lost['last'] !== undefined && { last: String(lost['last']) }),
      } satisfies LostEvents,
    };
  }
  // Node states and agent events are no flows.
  if (['node_status', 'agent_event', 'debug_event'].some(field => field in json)) return undefined;
  return { flow: flowFromJson(json) };
}
