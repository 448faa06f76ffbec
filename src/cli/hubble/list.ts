import { fromBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import type { Command } from 'commander';
import { safe } from '../../flows/print/safe.ts';
import { GetNamespacesResponseSchema, GetNodesResponseSchema, type Node } from '../../hubble/generated/observer_pb.js';
import { NodeState } from '../../hubble/generated/relay_pb.js';
import { CirriError } from '../../std/errors.ts';
import { line, printTable } from '../output.ts';
import { addServerFlags, callServer, plainFlags, serverOf, type ReadFlags, type ServerFlags } from './server.ts';

interface Flags extends ServerFlags {
  readonly output: string;
}

export function registerList(program: Command, read: ReadFlags = plainFlags): void {
  const list = program.command('list').summary('nodes, namespaces').description('What a Hubble server knows of.');
  const nodes = addServerFlags(list.command('nodes').alias('node'))
    .description('The nodes that the server reaches, and those that it does not.')
    .option('-o, --output <format>', 'table, wide or json', 'table')
    .addHelpText('after', `
Examples:
  ./cirri hubble list nodes
  ./cirri hubble list nodes -o wide`);
  nodes.action(() => listNodes(read<Flags>(nodes)));
  const namespaces = addServerFlags(list.command('namespaces').alias('namespace').alias('ns'))
    .description('Namespaces that flows of the last hour were seen in.')
    .option('-o, --output <format>', 'table, wide or json', 'table');
  namespaces.action(() => listNamespaces(read<Flags>(namespaces)));
}

async function listNodes(flags: Flags): Promise<void> {
  const { nodes } = await ask(flags, 'GetNodes', GetNodesResponseSchema);
  if (flags.output === 'json') return printJson(nodes);
  const isWide = wide(flags.output);
  const sorted = [...nodes].sort((a, b) => (a.name < b.name ? -1 : 1));
  printTable(
    ['NAME', 'STATUS', 'AGE', 'FLOWS/S', 'CURRENT/MAX-FLOWS', ...(isWide ? ['VERSION', 'ADDRESS', 'TLS'] : [])],
    sorted.map(node => [...nodeColumns(node), ...(isWide ? [text(node.version), text(node.address), tlsText(node)] : [])]),
  );
}

async function listNamespaces(flags: Flags): Promise<void> {
  const { namespaces } = await ask(flags, 'GetNamespaces', GetNamespacesResponseSchema);
  if (flags.output === 'json') return printJson(namespaces);
  wide(flags.output);
  const several = new Set(namespaces.map(each => each.cluster)).size > 1;
  const sorted = [...namespaces].sort((a, b) => (`${a.cluster}/${a.namespace}` < `${b.cluster}/${b.namespace}` ? -1 : 1));
  printTable(['NAMESPACE', ...(several ? ['CLUSTER'] : [])], sorted.map(each => [text(each.namespace), ...(several ? [text(each.cluster)] : [])]));
}

async function ask<O extends DescMessage>(flags: Flags, method: string, output: O): Promise<MessageShape<O>> {
  return callServer(serverOf(flags), async (client, settings) => fromBinary(output, await client.unary(`/observer.Observer/${method}`, new Uint8Array(), settings)));
}

function wide(output: string): boolean {
  if (output !== 'table' && output !== 'wide') throw new CirriError('ERR_FLAG', `-o ${output}: known are table, wide and json`);
  return output === 'wide';
}

/** As hubble prints them: a list of the messages, numbers and states as numbers, what is zero left out. */
function printJson(values: readonly object[]): void {
  line(JSON.stringify(values.map(plain), undefined, 2));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).filter(([name, field]) => name !== '$typeName' && name !== '$unknown' && field !== undefined && field !== '' && field !== 0 && field !== 0n && field !== false);
  return Object.fromEntries(fields.map(([name, field]) => [name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), plain(field)]));
}

const states: ReadonlyMap<NodeState, string> = new Map([[NodeState.NODE_CONNECTED, 'Connected'], [NodeState.NODE_UNAVAILABLE, 'Unavailable'], [NodeState.NODE_GONE, 'Gone'], [NodeState.NODE_ERROR, 'Error']]);
const none = 'N/A';

/** Name, state, age, flows a second since its start, and how full its memory is. */
export function nodeColumns({ name, state, uptimeNs, seenFlows, numFlows, maxFlows }: Pick<Node, 'name' | 'state' | 'uptimeNs' | 'seenFlows' | 'numFlows' | 'maxFlows'>): string[] {
  const seconds = Number(uptimeNs) / 1e9;
  return [
    text(name), states.get(state) ?? 'Unknown', seconds > 0 ? ageText(seconds) : none, seconds > 0 ? (Number(seenFlows) / seconds).toFixed(2) : none,
    maxFlows > 0n ? `${numFlows}/${maxFlows} (${((Number(numFlows) / Number(maxFlows)) * 100).toFixed(2).padStart(6)}%)` : none,
  ];
}

function tlsText({ tls }: Pick<Node, 'tls'>): string {
  return tls?.enabled ? 'Enabled' : 'Disabled';
}

/** `3d4h5m6s` without what is 0 at its beginning. */
function ageText(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts: readonly (readonly [number, string])[] = [[Math.floor(whole / 86_400), 'd'], [Math.floor(whole / 3600) % 24, 'h'], [Math.floor(whole / 60) % 60, 'm'], [whole % 60, 's']];
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0 ? '0s' : parts.slice(first).map(([count, unit]) => `${count}${unit}`).join('');
}

const text = (value: string): string => (value === '' ? none : safe(value));
