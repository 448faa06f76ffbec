import type { Command } from 'commander';
import { createEventPrinter } from '../../flows/print/events.ts';
import { timeFormatter } from '../../flows/print/go-time.ts';
import { openEvents } from '../hubble/events.ts';
import { addServerFlags, type ServerFlags } from '../hubble/server.ts';
import { line } from '../output.ts';
import { addFormat, addSelectors, formatOf, selectionOf, type Selection } from './options.ts';
import { sourceOf } from './run.ts';

interface EventFlags extends Selection, ServerFlags {
  readonly printNodeName?: boolean;
  readonly timeFormat: string;
  readonly silentErrors?: boolean;
}

const kinds = {
  'agent-events': 'what agents tell of themselves: policies, endpoints and addresses that came and went',
  'debug-events': "the datapath's debug events",
} as const;

/** `hubble observe agent-events`, `hubble observe debug-events`. */
export function registerEvents(observe: Command, read: <T extends object>(command: Command) => T): void {
  for (const [kind, summary] of Object.entries(kinds) as [keyof typeof kinds, string][]) {
    const command = addServerFlags(addFormat(addSelectors(observe.command(kind)), 'hubble')).summary(summary).description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}, of all nodes.`);
    command.action(() => run(kind, read<EventFlags>(command)));
  }
}

async function run(kind: keyof typeof kinds, flags: EventFlags): Promise<void> {
  const selection = selectionOf(flags);
  const printer = createEventPrinter({ format: formatOf(flags.output), nodeNames: flags.printNodeName === true, formatTime: timeFormatter(flags.timeFormat) }, line);
  const leaving = new AbortController();
  const leave = () => leaving.abort();
  process.once('SIGINT', leave);
  process.once('SIGTERM', leave);
  for await (const event of openEvents(kind, { ...selection, ...(flags.follow && { follow: true }) }, sourceOf(flags, leaving.signal))) printer.event(event);
  printer.end();
}
