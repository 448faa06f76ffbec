import type { Command } from 'commander';
import { register as registerDiff } from './policy-diff.ts';
import { register as registerEvaluate } from './policy-evaluate.ts';
import { register as registerExplain } from './policy-explain.ts';
import { register as registerGet } from './policy-get.ts';
import { register as registerLint } from './policy-lint.ts';
import { register as registerMatrix } from './policy-matrix.ts';
import { register as registerRecommend } from './policy-recommend.ts';
import { register as registerReplay } from './policy-replay.ts';
import { register as registerShadow } from './policy-shadow.ts';
import { register as registerStats } from './policy-stats.ts';
import { register as registerTest } from './policy-test.ts';
import { register as registerVerify } from './policy-verify.ts';

export function register(program: Command): void {
  const policy = program.command('policy')
    .summary('what policies do: get, evaluate, explain, matrix, diff, test, lint, verify, stats, shadow, recommend, replay')
    .description('What policies do. The engine that answers here is the one by which the agents fill the kernel\'s tables. With -f everything but verify and stats works without a cluster and without root.')
    .addHelpText('after', `
Examples:
  ./cirri policy get demo/api                                                   what applies to a pod
  ./cirri policy explain --from demo/stranger --to "service demo/api" --port 80  why, and what would allow it
  ./cirri policy lint -f manifests/
  ./cirri policy test shop.policy-test.yaml`);
  for (const registerOne of [registerGet, registerEvaluate, registerExplain, registerMatrix, registerDiff, registerTest, registerLint, registerVerify, registerStats, registerShadow, registerRecommend, registerReplay]) registerOne(policy);
}
