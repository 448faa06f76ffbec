import { readdirSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { proxyWorkerSocket } from '../../model/l7-proxy.ts';
import { nodesOf } from '../agents.ts';
import type { Context } from '../context.ts';

export interface ProxyWorker {
  readonly node: string;
  readonly number: number;
  readonly socket: string;
}

/** Those that have a socket, of one node or of all; of a node where none has one, the first. */
export function workersOf(context: Context, node: string | undefined): ProxyWorker[] {
  return nodesOf(context, node).flatMap(name => {
    const { proxySocket } = context.paths.node(name);
    const numbers = socketNumbers(proxySocket);
    return (numbers.length > 0 ? numbers : [0]).map(number => ({ node: name, number, socket: proxyWorkerSocket(proxySocket, number) }));
  });
}

function socketNumbers(proxySocket: string): number[] {
  const pattern = new RegExp(`^${basename(proxySocket, '.sock')}(?:-(\\d+))?\\.sock$`);
  let names: string[];
  try {
    names = readdirSync(dirname(proxySocket));
  } catch {
    return [];
  }
  return names.flatMap(name => {
    const match = pattern.exec(name);
    return match ? [Number(match[1] ?? 0)] : [];
  }).sort((a, b) => a - b);
}
