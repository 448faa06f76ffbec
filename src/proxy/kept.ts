import { connect } from 'node:net';
import type { KeptListeners } from '../model/l7-proxy.ts';
import { openPidfd, takeFd } from '../sys/process.ts';

const patienceMs = 200;

/** Duplicates of the listening sockets of a worker that the agent has kept; none where it has none, or is not there to be asked. */
export function keptListeners(l7Socket: string, worker: number): Promise<readonly number[]> {
  if (l7Socket === '') return Promise.resolve([]);
  return new Promise(resolve => {
    const socket = connect(l7Socket);
    let text = '';
    const done = (fds: readonly number[]) => {
      socket.destroy();
      resolve(fds);
    };
    socket.setTimeout(patienceMs, () => done([]));
    socket.on('error', () => done([]));
    socket.on('close', () => resolve([]));
    socket.on('data', chunk => {
      text += chunk.toString('utf8');
      const end = text.indexOf('\n');
      if (end >= 0) done(duplicates(JSON.parse(text.slice(0, end)) as KeptListeners, worker));
    });
  });
}

function duplicates(kept: KeptListeners, worker: number): readonly number[] {
  const fds = kept.listeners[worker] ?? [];
  if (fds.length === 0) return [];
  using agent = openPidfd(kept.pid);
  return agent ? fds.map(fd => takeFd(agent, fd)) : [];
}
