import { request } from 'node:http';
import type { LostLine } from '../flows/serve.ts';
import { queryToParams, type FlowQuery } from '../flows/query.ts';
import { LineSplitter } from '../kube/lines.ts';
import type { Flow } from '../model/flow.ts';
import { CirriError } from '../std/errors.ts';

export interface FlowStreamHandlers {
  onFlows(flows: Flow[]): void;
  onLost?(count: number, time: string): void;
}

/**
 * `GET /v1/flows` of one agent. `opened` resolves when the agent listens to us: from then on nothing is missed. `ended`
 * resolves when the stream is over, and rejects when the agent refuses or is away.
 */
export function openFlowStream(socketPath: string, query: FlowQuery & { follow?: boolean }, handlers: FlowStreamHandlers, signal: AbortSignal): { opened: Promise<void>; ended: Promise<void> } {
  let onOpen: () => void;
  let onRefused: (error: unknown) => void;
  const opened = new Promise<void>((resolve, reject) => {
    onOpen = resolve;
    onRefused = reject;
  });
  const ended = new Promise<void>((resolve, reject) => {
    const fail = (error: unknown) => {
      onRefused(error);
      if (signal.aborted) resolve();
      else reject(error as Error);
    };
    const call = request({ socketPath, path: `/v1/flows?${queryToParams(query)}`, agent: false, signal }, response => {
      const splitter = new LineSplitter();
      if (response.statusCode !== 200) {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => fail(new CirriError('ERR_FLOWS', `the agent refused: ${errorOf(text)}`)));
        return;
      }
      onOpen();
      response.on('data', (chunk: Buffer) => {
        const flows: Flow[] = [];
        for (const text of splitter.push(chunk)) {
          const item = JSON.parse(text) as Flow | LostLine;
          if ('lost' in item) handlers.onLost?.(item.lost.count, item.lost.time);
          else flows.push(item);
        }
        if (flows.length > 0) handlers.onFlows(flows);
      });
      response.on('end', resolve);
      response.on('error', fail);
    });
    call.on('error', fail);
    call.end();
  });
  // Whoever waits for only one of the two is not to be struck by the other.
  opened.catch(() => {});
  ended.catch(() => {});
  return { opened, ended };
}

function errorOf(text: string): string {
  try {
    return (JSON.parse(text) as { error: string }).error;
  } catch {
    return text.slice(0, 200);
  }
}
