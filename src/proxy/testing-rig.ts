/** A worker of the proxy over loopback sockets, for tests with real clients and servers: no kernel programs, one rule set. */
import type { L7Set } from '../model/l7.ts';
import type { ProxyConnection } from '../datapath/generated/structs.ts';
import { parseAddr } from '../std/ip.ts';
import { silentLogger } from '../std/log.ts';
import { closeSocket, ownAddress } from '../sys/net.ts';
import { connectTo, listenOn } from '../sys/streams.ts';
import { defaultLimits, Loop } from './loop.ts';
import type { SessionRecord } from './protocol.ts';
import { loadProtocol } from './protocols.ts';
import { Sets } from './sets.ts';
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
  const records: SessionRecord[] = [];
  const worker = new Worker({ times: { connectMs: 2000, attemptMs: 300, idleMs: 60_000, lingerMs: 1000 }, maxConnections: 1000 }, {
    loop, rows, sets: new Sets({ read: () => set, load: loadProtocol, now: () => 0 }), log: silentLogger,
    records: { add: (_about, record) => void records.push(record) },
    connect: () => connectTo({ addr: parseAddr('127.0.0.1'), port: serverPort }),
  });
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port });
  worker.listen(listener);
  loop.run(stop.signal);
  return {
    port: ownAddress(listener)!.port, worker, records,
    [Symbol.dispose]() {
      worker.close();
      stop.abort();
      closeSocket(listener);
      loop.close();
    },
  };
}
