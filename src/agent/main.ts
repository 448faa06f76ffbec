import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { instanceFromEnv, parseRecord } from '../model/cluster.ts';
import { CirriError, renderError } from '../std/errors.ts';
import { createLogger } from '../std/log.ts';
import { startAgent } from './agent.ts';

/** `node src/agent/main.ts --node NAME`: the agent of one node, run inside the node's network namespace. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { node: { type: 'string' } } });
  if (!values.node) throw new CirriError('ERR_USAGE', 'the agent needs --node NAME');
  const { paths } = instanceFromEnv(process.env);
  const record = parseRecord(readFileSync(paths.clusterJson, 'utf8'));
  const node = record.nodes.find(candidate => candidate.name === values.node);
  if (!node) throw new CirriError('ERR_USAGE', `cluster.json names no node "${values.node}"`, { mend: `use one of ${record.nodes.map(n => n.name).join(', ')}` });
  const log = createLogger({ component: 'agent', node: node.name });
  const stop = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stop.abort(new Error(`got ${name}`)));
  await startAgent({ record, node, paths, objectPath: new URL('../../build/cirri.bpf.o', import.meta.url).pathname }, { log, signal: stop.signal });
}

main().then(() => process.exit(0), (error: unknown) => {
  process.stderr.write(renderError(error) + '\n');
  if (!(error instanceof CirriError)) process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(1);
});
