import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { flowFromJson } from '../../flows/jsonpb-read.ts';
import { safe } from '../../flows/print/fields.ts';
import type { Paint } from '../../flows/print/paint.ts';
import { queryHistory, questionForFlow } from '../../history/client.ts';
import type { Flow } from '../../model/flow.ts';
import { connect, type Connection } from '../../policy/connection.ts';
import { portText, resolveEnd, resolvePort } from '../../policy/ends.ts';
import { explainLeg, type Explained } from '../../policy/explained.ts';
import { flowConnection } from '../../policy/flow-question.ts';
import { policyText } from '../../policy/policy.ts';
import type { World } from '../../policy/world.ts';
import { CirriError, errorText } from '../../std/errors.ts';
import { openContext, type Context } from '../context.ts';
import { openFlowStream } from '../flow-stream.ts';
import { line, printStructured, stdoutPaint } from '../output.ts';
import { addConnectionOptions, endHelp, type ConnectionFlags } from './policy-evaluate.ts';
import { addRequestOptions, requestOf, type RequestFlags } from './policy-request.ts';
import { printExplained } from './policy-explained-text.ts';
import { legJson, stepJson } from './policy-print.ts';
import { loadWorld } from './policy-world.ts';

export function register(policy: Command): void {
  addRequestOptions(addConnectionOptions(policy.command('explain')))
    .summary('why, what came closest, and the smallest change that would allow it')
    .description('Explains a connection, or a flow by its id: who decided, which policies put the endpoint into default deny, the nearest rule and the field by which it missed, and the smallest change that would allow it. The change was tried in the engine before it is shown; what else it opens is said.')
    .argument('[flow]', "a flow's id ([flow ID] in cirri observe), or - for a line of cirri observe -o json on standard input")
    .addHelpText('after', `
${endHelp.trim()}

Examples:
  ./cirri policy explain --from demo/stranger --to demo/api --port 8080
  ./cirri policy explain -f manifests/ --from shop/web --to shop/db --port 5432
  ./cirri policy explain node1-dn0f5peknvy7-7
  ./cirri observe --verdict DROPPED --last 1 -o json | ./cirri policy explain -`)
    .action(async (id: string | undefined, flags: ExplainFlags) => {
      if (id === undefined) mustBeAsked(flags);
      const flow = id === undefined ? undefined : id === '-' ? await flowFromInput() : await findFlow(id);
      const world = await loadWorld(flags);
      const connection = flow ? flowConnection(world, flow) : askedConnection(world, flags);
      const explained = connection.legs.map(leg => explainLeg(world, leg));
      const past = flow && { id: flow.id, time: flow.time, verdict: flow.verdict, rule: flow.rule, dropReason: flow.dropReason };
      if (printStructured(flags.output, { ...(past && { flow: past }), verdict: connection.verdict, notes: connection.notes, legs: explained.map(each => explainedJson(world, each)) })) return;
      const paint = stdoutPaint();
      if (flow) printFlow(flow, connection, paint);
      for (const note of connection.notes) line(paint.faint(safe(note)));
      explained.forEach(each => printExplained(world, each, paint));
    });
}

type ExplainFlags = ConnectionFlags & RequestFlags;

/** Before anything is read: whoever forgot the question should not hear of a cluster first. */
function mustBeAsked(flags: ExplainFlags): asserts flags is ExplainFlags & { readonly from: string; readonly to: string } {
  if (flags.from === undefined || flags.to === undefined) throw new CirriError('ERR_FLAG', 'explain what?', { mend: '--from NS/POD --to NS/POD --port 80, or the id of a flow: cirri observe shows [flow ID]' });
}

function askedConnection(world: World, flags: ExplainFlags): Connection {
  mustBeAsked(flags);
  const to = resolveEnd(world, flags.to, flags.namespace);
  return connect(world, resolveEnd(world, flags.from, flags.namespace), to, resolvePort(to, flags.port, flags.protocol), requestOf(flags));
}

// ---- flows ----

/** The last line of flows as `cirri observe -o json` and `hubble observe -o json` print them. */
async function flowFromInput(): Promise<Flow> {
  const last = (await text(process.stdin)).trim().split('\n').at(-1)!;
  try {
    return flowFromJson(JSON.parse(last));
  } catch (error) {
    throw new CirriError('ERR_NO_FLOW', 'standard input holds no flow', { cause: error, mend: 'give it a line of cirri observe -o json' });
  }
}

/** Takes the id as observe shows it, too: `[flow node1-dn0f5peknvy7-7]`. */
async function findFlow(given: string): Promise<Flow> {
  const id = given.replace(/^\[?flow /, '').replace(/\]$/, '').trim();
  const context = openContext();
  context.client.close();
  const found: Flow[] = [];
  const silent: string[] = [];
  await Promise.all(context.record.nodes.map(({ name }) => openFlowStream(context.paths.node(name).agentSocket, { whitelist: [{ uuid: [id] }] }, {
    onFlows: flows => found.push(...flows),
  }, AbortSignal.timeout(20_000)).ended.catch(() => void silent.push(name))));
  const flow = found[0] ?? await pastFlow(context, id);
  if (flow) return flow;
  const nodes = context.record.nodes.map(node => node.name);
  if (silent.length > 0) throw new CirriError('ERR_NO_FLOW', `flow ${id} is not found, and ${silent.join(', ')} did not answer`, { mend: 'cirri status; then ask again, or with --from, --to and --port' });
  const made = nodes.some(name => id.startsWith(`${name}-`));
  throw new CirriError('ERR_NO_FLOW', made ? `flow ${id} is gone: neither the nodes' newest flows nor their history have it` : `no node has a flow ${id}`, {
    mend: 'ask with --from, --to and --port, or about a newer one: cirri observe --verdict DROPPED shows [flow ID]',
  });
}

/** A flow that no agent remembers any more: its id holds its time. */
async function pastFlow(context: Context, id: string): Promise<Flow | undefined> {
  const question = questionForFlow(id);
  if (!question || !context.record.settings.hubble.history.enabled) return undefined;
  for (const { name } of context.record.nodes) {
    if (!id.startsWith(`${name}-`)) continue;
    try {
      for await (const answer of queryHistory(context.paths.node(name).historySocket, question)) {
        if (answer.kind === 'flows' && answer.flows[0]) return answer.flows[0];
      }
    } catch (error) {
      process.stderr.write(`cirri: the history of ${name} does not answer: ${errorText(error)}\n`);
    }
  }
  return undefined;
}

function printFlow(flow: Flow, connection: Connection, paint: Paint): void {
  line(`${flow.time} ${safe(flow.verdict)}${flow.dropReason ? ` (${safe(flow.dropReason)})` : ''} on ${safe(flow.nodeName)}${flow.rule ? `: ${safe(flow.rule.because)}` : ''}`);
  const allowed = flow.verdict === 'FORWARDED';
  if ((connection.verdict === 'allow') !== allowed) line(paint.careful(`the policies of now decide otherwise: ${connection.verdict}`));
}

function explainedJson(world: World, { leg, misses, closing, suggestion }: Explained): object {
  return {
    ...legJson(world, leg),
    steps: leg.steps.map(step => ({
      ...stepJson(world, step), port: portText(step),
      ...(closing.has(step) && { closedBy: closing.get(step)!.map(c => ({ policy: policyText(c.policy), field: c.field, place: c.place })) }),
      ...(misses.has(step) && { nearest: misses.get(step)!.map(m => ({ policy: policyText(m.policy), rule: m.rule.address, missed: m.missed, field: m.field, place: m.place, text: m.text })) }),
    })),
    ...(suggestion && { suggestion: { verified: suggestion.verified, changes: suggestion.changes.map(({ kind, text, place, jsonPatch, object }) => ({ kind, text, place, jsonPatch, object })), alsoChanges: suggestion.sideEffects } }),
  };
}
