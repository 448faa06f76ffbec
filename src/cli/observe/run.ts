import { EventType } from '../../flows/event.ts';
import type { FlagUse } from '../../flows/flags.ts';
import type { FlowQuery } from '../../flows/query.ts';
import { createPaint } from '../../flows/print/paint.ts';
import { createPrinter, type FlowPrinter } from '../../flows/print/printer.ts';
import type { NodeStatus } from '../../flows/print/responses.ts';
import { safe } from '../../flows/print/safe.ts';
import { loadWorld } from '../commands/policy-world.ts';
import { openContext } from '../context.ts';
import { openFlows, type FlowItem, type FlowOptions } from '../hubble/flows.ts';
import { namedServer, type ServerFlags } from '../hubble/server.ts';
import { line } from '../output.ts';
import { Explainer } from './explain.ts';
import { maskFlow } from './field-mask.ts';
import { filtersOf, maskOf, printerOptionsOf, queryOf, type ObserveFlags, type Style } from './options.ts';
import { rawFiltersYaml } from './raw-filters.ts';
import { replay } from './replay.ts';

const complain = (text: string): void => void process.stderr.write(`${text}\n`);

export async function runObserve(flags: ObserveFlags, uses: readonly FlagUse[], style: Style): Promise<void> {
  if (flags.printRawFilters) return void process.stdout.write(rawFiltersYaml(filtersOf(flags, uses)));
  const query = queryOf(flags, uses);
  const options = printerOptionsOf(flags, style);
  const silent = flags.silentErrors === true;
  const printer = createPrinter(options, line, silent ? () => {} : complain);
  const explainer = flags.explain ? new Explainer({ loadWorld: () => loadWorld({ namespace: 'default' }), paint: createPaint(options.colours === true), verdicts: !showsDrops(query) }) : undefined;
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  const items = flags.inputFile !== undefined ? replay(flags.inputFile, query, { skip: silent })
    : openFlows({ ...query, ...(flags.follow && { follow: true }) }, { ...sourceOf(flags, leaving.signal), packetless: style === 'cirri' });
  await show(items, { printer, explainer, mask: maskOf(flags), onNodes: style === 'cirri' && !silent ? new NodeNotes() : undefined });
  printer.end();
}

function showsDrops({ whitelist = [] }: FlowQuery): boolean {
  return whitelist.length === 0 || whitelist.some(({ event_type: types = [] }) => types.length === 0 || types.some(({ type }) => type === EventType.drop));
}

/** A server that is named, or this machine's cluster. */
export function sourceOf(flags: ServerFlags & { readonly silentErrors?: boolean }, signal: AbortSignal): FlowOptions {
  const quiet = flags.silentErrors === true ? { complain: () => {} } : {};
  const server = namedServer(flags);
  if (server) return { server, signal, ...quiet };
  const context = openContext();
  context.client.close();
  return { context, signal, ...quiet };
}

interface Show {
  readonly printer: FlowPrinter;
  readonly explainer: Explainer | undefined;
  readonly mask: readonly string[] | undefined;
  /** Tells of nodes in our own words; else the printer does in hubble's. */
  readonly onNodes: NodeNotes | undefined;
}

async function show(items: AsyncIterable<FlowItem>, { printer, explainer, mask, onNodes }: Show): Promise<void> {
  for await (const item of items) {
    if ('flow' in item) {
      printer.flow(mask ? maskFlow(item.flow, mask) : item.flow);
      for (const text of (await explainer?.explain(item.flow)) ?? []) line(text);
    } else if ('lost' in item) printer.lost(item.lost);
    else if (onNodes) onNodes.tell(item.nodeStatus);
    else printer.nodeStatus(item.nodeStatus);
  }
}

/** A node that is not heard is named, and named again when it is back. */
class NodeNotes {
  readonly #missing = new Set<string>();

  tell({ state, nodes, message }: NodeStatus): void {
    const why = message === undefined || message === '' ? '' : `: ${safe(message)}`;
    for (const name of nodes) {
      if (state === 'NODE_CONNECTED') {
        if (this.#missing.delete(name)) complain(`cirri: ${safe(name)} is heard again`);
      } else if (state === 'NODE_GONE') complain(`cirri: ${safe(name)} has left the cluster`);
      else if (!this.#missing.has(name)) {
        this.#missing.add(name);
        complain(`cirri: ${safe(name)} is not heard${why}`);
      }
    }
  }
}
