import type { ProxyConnection } from '../../datapath/generated/structs.ts';
import type { HttpL7Rule, L7Set } from '../../model/l7.ts';
import { parseAddr } from '../../std/ip.ts';
import { silentLogger } from '../../std/log.ts';
import { closeSocket, ownAddress } from '../../sys/net.ts';
import { connectTo, listenOn } from '../../sys/streams.ts';
import { defaultLimits, Loop } from '../loop.ts';
import type { SessionRecord } from '../protocol.ts';
import { loadProtocol } from '../protocols.ts';
import { Sets } from '../sets.ts';
import { Worker, type Rows } from '../worker.ts';

const row: ProxyConnection = {
  generation: 1, flags: 0, sourceIdentity: 5, destinationIdentity: 6, sourceEndpoint: 1, destinationEndpoint: 2, egressL7: 7, ingressL7: 0, egressRule: 9, ingressRule: 0, service: 0,
};

export interface ProxyRig {
  readonly port: number;
  readonly records: SessionRecord[];
  readonly worker: Worker;
  close(): void;
}

/** The proxy's own loop on loopback, before one server, with HTTP rules for the client. */
export function startHttpProxy(serverPort: number, rules: readonly HttpL7Rule[]): ProxyRig {
  const stop = new AbortController();
  const loop = new Loop(defaultLimits);
  const set: L7Set = { protocol: 'http', rules };
  const rows: Rows = { generation: () => 1, lookup: () => row, delete: () => {} };
  const records: SessionRecord[] = [];
  const sets = new Sets({ read: () => set, load: loadProtocol, now: () => 0 });
  const worker = new Worker({ times: { connectMs: 1000, idleMs: 60_000, lingerMs: 1000 }, maxConnections: 1000 }, {
    loop, rows, sets, log: silentLogger, records: { add: (_about, record) => void records.push(record) },
    connect: () => connectTo({ addr: parseAddr('127.0.0.1'), port: serverPort }),
  });
  const listener = listenOn({ addr: parseAddr('127.0.0.1'), port: 0 });
  worker.listen(listener);
  loop.run(stop.signal);
  return {
    port: ownAddress(listener)!.port, records, worker,
    close: () => {
      worker.close();
      stop.abort();
      closeSocket(listener);
      loop.close();
    },
  };
}
