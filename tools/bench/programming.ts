/**
 * From the API's objects to the kernel: all services from nothing, one more, one endpoint changed, beside iptables-restore and nft.
 *
 *   full   the agent starts with them: runtime, programs, policy, services         load   it runs already, and they arrive
 *   add    one service more                                                        chg    one endpoint is another, 11 times
 *
 * Every turn is a node namespace of its own. The peers' times are those of their own tools, which start anew for every change, as
 * kube-proxy starts them.
 */
import { join } from 'node:path';
import { build, folder, prepareServices, prepareTraffic, run } from './prepare.ts';
import { median } from './ratios.ts';

const changes = 11;

export interface Programming {
  readonly text: string;
  readonly isMet: boolean;
  /** Cell → operation → ms of each turn. */
  readonly times: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  /** Cell → stage → ms from exec, of the last turn. */
  readonly stages: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function measureProgramming(options: { readonly services: number; readonly most: number; readonly turns: number; readonly say: (text: string) => void }): Programming {
  const { services, most, turns, say } = options;
  prepareTraffic([10, services]);
  const ours = [...new Set([10, services, most])];
  for (const count of [0, ...ours.filter(count => count !== 10 && count !== services)]) prepareServices(count);
  const cells = [`ipt-legacy:${services}`, `nft:${services}`, ...ours.map(count => `cirri:${count}`)];
  const times: Record<string, Record<string, number[]>> = Object.fromEntries(cells.map(cell => [cell, {}]));
  const stages: Record<string, Record<string, number>> = {};
  const note = (cell: string, operation: string, printed: string) => void (times[cell]![operation] ??= []).push(Number(printed.trim().split(' ')[0]));
  for (let turn = 1; turn <= turns; turn++) {
    say(`turn ${turn} of ${turns}: ${cells.join(' ')}`);
    for (const cell of cells) {
      const [backend, count] = cell.split(':') as [string, string];
      const isOurs = backend === 'cirri';
      inNamespace(`p${backend}${count}`, backend, count, count, call => {
        note(cell, 'full', call('full', count));
        if (isOurs) stages[cell] = JSON.parse(call('stages', count)) as Record<string, number>;
        note(cell, 'add', call('add', count));
        for (let i = 0; i < (isOurs ? changes : 1); i++) note(cell, 'chg', call('chg', count));
      });
      if (isOurs) inNamespace(`l${backend}${count}`, backend, '0', count, call => {
        call('full', '0');
        note(cell, 'load', call('load', count));
      });
    }
  }
  const verdicts = judge(times, services);
  return { text: [table(times), ...Object.entries(stages).map(([cell, of]) => stageText(cell, of)), ...verdicts.map(one => one.text)].join('\n'), isMet: verdicts.every(one => one.isMet), times, stages };
}

/** `most`: how many services the node's maps have to hold. */
function inNamespace(tag: string, backend: string, count: string, most: string, section: (call: (command: string, count: string) => string) => void): void {
  const topology = (what: string) => run(join(folder, 'topo.sh'), [what, tag]);
  const call = (command: string, of: string) => run(join(folder, 'backends', backend), [command, tag, of], { BENCH_BUILD: build, BENCH_MOST: most }).stdout;
  topology('down');
  topology('up');
  try {
    section(call);
  } finally {
    call('down', count);
    topology('down');
  }
}

function judge(times: Programming['times'], services: number): { readonly text: string; readonly isMet: boolean }[] {
  const of = (cell: string, operation: string) => median(times[cell]?.[operation] ?? [NaN]);
  const ours = `cirri:${services}`;
  const verdict = (what: string, value: number, limit: number, isUpper: boolean) => {
    const isMet = isUpper ? value <= limit : value >= limit;
    return { text: `${isMet ? '✓' : '✗'} ${what} = ${value.toFixed(2)} (target ${isUpper ? '≤' : '≥'} ${limit})`, isMet };
  };
  return [
    ...[['ipt-legacy', 20], ['nft', 500]].map(([peer, limit]) => verdict(`all services from nothing, agent included: ${peer}:${services} / ${ours}`, of(`${peer}:${services}`, 'full') / of(ours, 'full'), limit as number, false)),
    ...['ipt-legacy', 'nft'].map(peer => verdict(`one endpoint changed: ${peer}:${services} / ${ours}`, of(`${peer}:${services}`, 'chg') / of(ours, 'chg'), 50, false)),
    verdict(`one endpoint changed: ${ours} / cirri:10`, of(ours, 'chg') / of('cirri:10', 'chg'), 1.5, true),
  ];
}

function table(times: Programming['times']): string {
  const operations = ['full', 'load', 'add', 'chg'];
  const shown = (values: readonly number[] | undefined) => (values ? `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)}–${Math.max(...values).toFixed(2)})` : '–');
  return [`| ms: median (least–most) | ${operations.join(' | ')} |`, '|---|---|---|---|---|', ...Object.entries(times).map(([cell, of]) => `| ${cell} | ${operations.map(operation => shown(of[operation])).join(' | ')} |`)].join('\n');
}

function stageText(cell: string, stages: Readonly<Record<string, number>>): string {
  let before = 0;
  const parts = Object.entries(stages).map(([name, at]) => {
    const text = `${name} ${(at - before).toFixed(0)}`;
    before = at;
    return text;
  });
  return `${cell} from exec, ms: ${parts.join(', ')}`;
}
