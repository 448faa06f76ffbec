/** Hubble Relay of an instance, as a process: reads `cluster.json`, serves until SIGTERM or SIGINT. */
import { readFileSync } from 'node:fs';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import { errorText, renderError } from '../std/errors.ts';
import { createLogger } from '../std/log.ts';
import { startRelay } from './start.ts';

const { instance, paths } = instanceFromEnv(process.env);
const log = createLogger({ process: 'relay', instance });

try {
  const relay = await startRelay({ record: parseRecord(readFileSync(paths.clusterJson, 'utf8')), paths }, { log });
  log.info('the relay serves', relay.address);
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void relay.close().then(() => process.exit(0)));
} catch (error) {
  log.error('the relay cannot start', { error: errorText(error) });
  process.stderr.write(`${renderError(error)}\n`);
  process.exit(1);
}
