import { renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClusterRecord, StatePaths } from '../model/cluster.ts';
import { waitFor } from '../std/async.ts';
import { CirriError } from '../std/errors.ts';
import { agentTrouble } from './inspect.ts';
import { proxyName } from './children.ts';
import { callLocal } from './local-api.ts';
import { readPidFile } from './pidfile.ts';
import type { Progress } from './progress.ts';
import { changedSettings, choose, costsOf, defaultChoices, settingOf, whyFixed, type Choices } from './settings.ts';
import type { Assignment } from './values.ts';

export interface Rechosen {
  readonly record: ClusterRecord;
  /** Settings that are others now. */
  readonly reset: readonly string[];
  readonly warnings: readonly string[];
}

/** Puts choices over those of a cluster that is there, and writes them down. Throws for one that is fixed, before anything is changed. */
export function rechoose(record: ClusterRecord, paths: StatePaths, values: readonly Assignment[]): Rechosen {
  const { settings, routing, policyMode, audit } = record;
  const before: Choices = { settings, routing, policyMode, audit };
  const { choices, warnings } = choose(before, defaultChoices, values);
  const reset = changedSettings(before, choices);
  const fixed = reset.find(name => whyFixed(name) !== undefined);
  if (fixed !== undefined) throw otherCluster(record.instance, fixed, settingOf(before, fixed), settingOf(choices, fixed), whyFixed(fixed));
  if (reset.length === 0) return { record, reset, warnings };
  const changed = { ...record, ...choices };
  writeRecord(changed, paths);
  return { record: changed, reset, warnings: [...warnings, ...costsOf(reset)] };
}

export function writeRecord(record: ClusterRecord, paths: StatePaths): void {
  writeFileSync(`${paths.clusterJson}.new`, JSON.stringify(record, undefined, 2) + '\n', { mode: 0o600 });
  renameSync(`${paths.clusterJson}.new`, paths.clusterJson);
}

/** Processes that started before the record was last written: they go by an older one. Whoever is interrupted between the two finds them again. */
export function outdated(record: ClusterRecord, paths: StatePaths): string[] {
  const writtenMs = statSync(paths.clusterJson).mtimeMs;
  return ['apiserver', ...record.nodes.map(node => `agent-${node.name}`), 'relay', ...record.nodes.map(node => proxyName(node.name, 0))].filter(name => {
    const file = join(paths.run, `${name}.pid`);
    return readPidFile(file) !== undefined && statSync(file).mtimeMs < writtenMs;
  });
}

/** One after the other, each ready before the next: what they put into the kernel goes on meanwhile. */
export async function restartOutdated(options: { readonly record: ClusterRecord; readonly paths: StatePaths; readonly timeoutMs: number }, progress: Progress): Promise<void> {
  const { record, paths, timeoutMs } = options;
  const names = outdated(record, paths);
  if (names.length === 0) return;
  // Settings decide about some processes too: those that are not to run any more go first. A supervisor of an older version keeps its own.
  await callLocal(`${paths.run}/supervisor.sock`, '/v1/reload', { method: 'POST', timeoutMs }).catch(() => undefined);
  for (const name of outdated(record, paths)) {
    await progress.step(`${name} reads the settings`, async () => {
      const answer = await callLocal(`${paths.run}/supervisor.sock`, `/v1/restart/${name}`, { method: 'POST', timeoutMs });
      if (answer === undefined) throw new CirriError('ERR_NO_SUPERVISOR', 'the supervisor does not answer', { mend: 'cirri up starts it again' });
      const node = /^agent-(.*)$/.exec(name)?.[1];
      if (node === undefined) return;
      let trouble: string | undefined;
      await waitFor(`the agent of ${node}`, async () => (trouble = await agentTrouble(paths, node).catch(() => 'no answer')) === undefined, { timeoutMs }).catch((cause: unknown) => {
        throw new CirriError('ERR_AGENT_NOT_READY', `the agent of ${node} is not ready after ${timeoutMs / 1000} s: ${trouble}`, { mend: `see ${paths.logs}/${name}.log; cirri up goes on from here`, cause });
      });
    });
  }
}

export function otherCluster(instance: string, what: string, has: unknown, asked: unknown, why?: string): CirriError {
  return new CirriError('ERR_OTHER_CLUSTER', `cluster ${instance} exists with ${what} ${String(has)}, not ${String(asked)}${why === undefined ? '' : `: ${why}`}`, {
    mend: 'run: cirri down, then cirri up with the new value; or set CIRRI_INSTANCE to make a second cluster',
  });
}
