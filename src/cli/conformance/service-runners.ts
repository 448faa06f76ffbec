import type { Runners } from '../../policy/conformance/run.ts';
import { runLbScript, type LbScriptCase } from './lb-script.ts';
import { runMaglevTable, type MaglevTableCase } from './maglev-case.ts';
import { runServiceFlow, type ServiceFlowCase } from './service-flow.ts';

/** Kinds about services: through the agent's own derivation of rows, and its writing of maps. */
export const serviceRunners: Runners = {
  'service-flow': testCase => runServiceFlow(testCase as unknown as ServiceFlowCase),
  'lb-script': testCase => runLbScript(testCase as unknown as LbScriptCase),
  'maglev-table': testCase => runMaglevTable(testCase as unknown as MaglevTableCase),
};
