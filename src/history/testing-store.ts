import { silentLogger } from '../std/log.ts';
import { serveHistory } from './server.ts';
import { HistoryStore } from './store.ts';

/** `testing-store.ts FOLDER SOCKET`: a store as a process of its own, for tests that kill it. */
const [folder, socketPath] = process.argv.slice(2) as [string, string];
const store = await HistoryStore.open({ folder, node: 'node1', days: 36_500, maxMegabytes: 4096, reserveMegabytes: 0 }, silentLogger);
await serveHistory(store, socketPath, { log: silentLogger, signal: new AbortController().signal });
process.send!('ready');
process.on('disconnect', () => process.exit(0));
