/** A worker of the proxy over loopback sockets, for tests with real clients and servers: no kernel programs, one rule set. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { L7Set } from '../model/l7.ts';
import type { ProxyConnection } from '../datapath/generated/structs.ts';
import { waitFor } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';
import { parseAddr } from '../std/ip.ts';
import { silentLogger } from '../std/log.ts';
import { closeSocket, ownAddress } from '../sys/net.ts';
import { connectTo, listenOn } from '../sys/streams.ts';
import { defaultLimits, Loop } from './loop.ts';
import type { SessionRecord } from './protocol.ts';
import { loadProtocol } from './protocols.ts';
import { Sets } from './sets.ts';
import { RecordList } from './testing.ts';
import { Worker, type Rows } from './worker.ts';

export interface ProxyRig extends Disposable {
  readonly port: number;
  readonly worker: Worker;
  readonly records: SessionRecord[];
}

const row: ProxyConnection = {
  generation: 1, flags: 0, sourceIdentity: 5, destinationIdentity: 6, sourceEndpoint: 1, destinationEndpoint: 2, egressL7: 0, ingressL7: 7, egressRule: 0, ingressRule: 9, service: 0,
};

/** Carries connections to 127.0.0.1:`port` on to 127.0.0.1:`serverPort`, as far as `set` lets it. `port` 0: one that is free. */
export function startProxyRig(set: L7Set, serverPort: number, port = 0): ProxyRig {
  const stop = new AbortController();
  const loop = new Loop(defaultLimits);
  const rows: Rows = { generation: () => 1, lookup: () => row, delete: () => {} };
  const records = new RecordList();
  const worker = new Worker({ times: { connectMs: 2000, attemptMs: 300, idleMs: 60_000, lingerMs: 1000 }, maxConnections: 1000 }, {
    loop, rows, sets: new Sets({ read: () => set, load: loadProtocol, now: () => 0 }), log: silentLogger,
    records,
    connect: () => connectTo({ addr: parseAddr('127.0.0.1'), port: serverPort }),
  });
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port });
  worker.listen(listener);
  loop.run(stop.signal);
  return {
    port: ownAddress(listener)!.port, worker, records: records.list,
    [Symbol.dispose]() {
      worker.close();
      stop.abort();
      closeSocket(listener);
      loop.close();
    },
  };
}

/** A program that a test starts, ended with it. `untilPort`: it has come up when that port of 127.0.0.1 takes connections. */
export async function startProgram(command: string, args: readonly string[], untilPort: number, options: { readonly cwd?: string } = {}): Promise<AsyncDisposable> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options });
  let said = '';
  let failed: Error | undefined;
  child.stderr.on('data', part => (said = (said + String(part)).slice(-4000)));
  child.on('error', error => (failed = error));
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null || failed) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  try {
    await waitFor(`${command} to listen`, async () => {
      if (failed || child.exitCode !== null) throw new CirriError('ERR_TEST_PROGRAM', `${command} ended: ${failed?.message ?? said}`);
      return await takesConnections(untilPort);
    }, { timeoutMs: 60_000, everyMs: 20 });
  } catch (error) {
    await stop();
    throw error;
  }
  return { [Symbol.asyncDispose]: stop };
}

function takesConnections(port: number): Promise<boolean | undefined> {
  return new Promise(resolve => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
}
