import type { DashboardSpec } from './grafana.ts';
import { quantile, rate, selector, share, sum, top } from './promql.ts';

const drops = 'cilium_drop_count_total';

export const dropsAndPolicy: DashboardSpec = {
  uid: 'cirri-drops', title: 'Cirri: drops and policy', description: 'What is dropped and why, which policies decide, and how fast a change of policy is in force.',
  rows: [
    {
      title: 'Now', panels: [
        { title: 'Packets dropped', description: 'Counted in the kernel, whatever becomes of the events.', kind: 'stat', unit: 'pps', queries: [{ expr: `${rate(drops)} or vector(0)`, legend: 'drops' }] },
        { title: 'of all packets', description: '', kind: 'stat', unit: 'percentunit', queries: [{ expr: share(rate(drops), `(${rate('cilium_forward_count_total')} + (${rate(drops)} or vector(0)))`), legend: 'share' }] },
        { title: 'Denied by policy', description: '', kind: 'stat', unit: 'pps', queries: [{ expr: `${rate(drops, [], 'reason=~"Policy denied.*"')} or vector(0)`, legend: 'denied' }] },
        { title: 'Policies', description: 'That the agents know: the same on all nodes.', kind: 'stat', unit: 'short', queries: [{ expr: `max(${selector('cilium_policy')})`, legend: 'policies' }] },
        { title: 'Pods under policy', description: 'With at least one direction in which what no rule allows is denied.', kind: 'stat', unit: 'short', queries: [{ expr: sum('cilium_policy_endpoint_enforcement_status', [], 'enforcement!="none"'), legend: 'pods' }] },
        { title: 'Agents behind', description: 'Whose kernels do not hold all that they should.', kind: 'stat', unit: 'short', queries: [{ expr: `count(${selector('cilium_controllers_failing')} > 0) or vector(0)`, legend: 'agents' }] },
      ],
    },
    {
      title: 'Drops', panels: [
        { title: 'Drops by reason', description: 'Kernel counters.', kind: 'timeseries', unit: 'pps', stacked: true, queries: [{ expr: rate(drops, ['reason']), legend: '{{reason}}' }] },
        { title: 'Drops by node and direction', description: 'Kernel counters.', kind: 'timeseries', unit: 'pps', queries: [{ expr: rate(drops, ['node', 'direction']), legend: '{{node}} {{direction}}' }] },
        { title: 'Dropped flows by reason and protocol', description: 'Plugin drop.', kind: 'timeseries', unit: 'cps', stacked: true, queries: [{ expr: rate('hubble_drop_total', ['reason', 'protocol']), legend: '{{reason}} {{protocol}}' }] },
        { title: 'Dropped flows by pair', description: 'Needs sourceContext and destinationContext of the plugin drop.', kind: 'timeseries', unit: 'cps', queries: [{ expr: top(10, rate('hubble_drop_total', ['source', 'destination', 'reason'])), legend: '{{source}} → {{destination}} {{reason}}' }] },
      ],
    },
    {
      title: 'Verdicts', panels: [
        { title: 'Verdicts by action', description: 'Plugin policy: a verdict for each new connection, not for each packet.', kind: 'timeseries', unit: 'cps', stacked: true, queries: [{ expr: rate('hubble_policy_verdicts_total', ['direction', 'action']), legend: '{{direction}} {{action}}' }] },
        { title: 'Verdicts by match', description: 'How exact the rule was that decided; none: a default.', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_policy_verdicts_total', ['match', 'action']), legend: '{{match}} {{action}}' }] },
        { title: 'Packets decided, by policy', description: 'Kernel counters per rule: denied packets, and those of connections that were let through.', kind: 'timeseries', unit: 'pps', queries: [{ expr: top(10, rate('cilium_policy_decided_packets_total', ['namespace', 'policy', 'effect'])), legend: '{{namespace}}/{{policy}} {{effect}}' }] },
        { title: 'Packets denied in the last hour, by policy', description: 'Which policy denied, default denials by the policies that turned them on.', kind: 'table', unit: 'short', queries: [{ expr: top(20, `sum by (kind, namespace, policy, direction, effect) (increase(${selector('cilium_policy_decided_packets_total', 'effect=~"deny|default-deny"')}[1h])) > 0`), legend: '' }] },
      ],
    },
    {
      title: 'Policies', panels: [
        { title: 'From a change of policy until it is in force', description: 'From when the agent sees it until all its kernel tables are loaded, read back and compared.', kind: 'timeseries', unit: 's', queries: [0.5, 0.99].map(q => ({ expr: quantile(q, 'cilium_policy_implementation_delay'), legend: `p${q * 100}` })) },
        { title: 'Changes of policies', description: '', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('cilium_policy_change_total', ['operation', 'outcome']), legend: '{{operation}} {{outcome}}' }] },
        { title: 'Policy sets loaded', description: '', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('cilium_endpoint_regenerations_total', ['outcome']), legend: '{{outcome}}' }] },
        { title: 'Pods by enforcement', description: 'The directions in which what no rule allows is denied.', kind: 'bargauge', unit: 'short', queries: [{ expr: `${sum('cilium_policy_endpoint_enforcement_status', ['enforcement'])} > 0`, legend: '{{enforcement}}' }] },
        { title: 'Flows to the world', description: 'Plugin flows-to-world.', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_flows_to_world_total', ['protocol', 'verdict']), legend: '{{protocol}} {{verdict}}' }] },
        { title: 'Errors and warnings in logs', description: '', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('cilium_errors_warnings_total', ['level', 'subsystem']), legend: '{{level}} {{subsystem}}' }] },
      ],
    },
  ],
};
