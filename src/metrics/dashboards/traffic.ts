import type { DashboardSpec } from './grafana.ts';
import { quantile, rate, selector, sum, top } from './promql.ts';

const pair = ['source', 'destination'] as const;
const pairLegend = '{{source}} → {{destination}}';
const asClient = 'reporter="client"';

export const traffic: DashboardSpec = {
  uid: 'cirri-traffic', title: 'Cirri: traffic', description: 'What passes: flows, packets, connections and their latency, and what the agents need for it.',
  rows: [
    {
      title: 'Now', panels: [
        { title: 'Flows', description: 'Flows that Hubble has seen.', kind: 'stat', unit: 'cps', queries: [{ expr: rate('hubble_flows_processed_total'), legend: 'flows' }] },
        { title: 'Packets sent on', description: 'Counted in the kernel: every packet at every hook that it passes.', kind: 'stat', unit: 'pps', queries: [{ expr: rate('cilium_forward_count_total'), legend: 'packets' }] },
        { title: 'Bytes sent on', description: 'Likewise.', kind: 'stat', unit: 'Bps', queries: [{ expr: rate('cilium_forward_bytes_total'), legend: 'bytes' }] },
        { title: 'Packets dropped', description: 'Counted in the kernel.', kind: 'stat', unit: 'pps', queries: [{ expr: `${rate('cilium_drop_count_total')} or vector(0)`, legend: 'drops' }] },
        { title: 'Pods', description: 'Endpoints of all agents.', kind: 'stat', unit: 'short', queries: [{ expr: sum('cilium_endpoint'), legend: 'pods' }] },
        { title: 'Events lost', description: 'Nobody could read them in time; counters in the kernel miss nothing.', kind: 'stat', unit: 'cps', queries: [{ expr: `${rate('hubble_lost_events_total')} or vector(0)`, legend: 'lost' }] },
      ],
    },
    {
      title: 'Flows', panels: [
        { title: 'Flows by verdict', description: '', kind: 'timeseries', unit: 'cps', stacked: true, queries: [{ expr: rate('hubble_flows_processed_total', ['verdict']), legend: '{{verdict}}' }] },
        { title: 'Flows by type', description: '', kind: 'timeseries', unit: 'cps', stacked: true, queries: [{ expr: rate('hubble_flows_processed_total', ['type', 'subtype']), legend: '{{type}} {{subtype}}' }] },
        { title: 'Flows by protocol', description: '', kind: 'timeseries', unit: 'cps', stacked: true, queries: [{ expr: rate('hubble_flows_processed_total', ['protocol']), legend: '{{protocol}}' }] },
        { title: 'Flows by pair', description: 'Needs sourceContext and destinationContext of the plugin flow.', kind: 'timeseries', unit: 'cps', queries: [{ expr: top(10, rate('hubble_flows_processed_total', pair)), legend: pairLegend }] },
      ],
    },
    {
      title: 'Packets', panels: [
        { title: 'Packets sent on, by direction', description: 'As the pods see it: ingress goes to one.', kind: 'timeseries', unit: 'pps', queries: [{ expr: rate('cilium_forward_count_total', ['node', 'direction']), legend: '{{node}} {{direction}}' }] },
        { title: 'Bytes sent on, by direction', description: '', kind: 'timeseries', unit: 'Bps', queries: [{ expr: rate('cilium_forward_bytes_total', ['node', 'direction']), legend: '{{node}} {{direction}}' }] },
        { title: 'ICMP messages', description: 'Plugin icmp.', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_icmp_total', ['family', 'type']), legend: '{{family}} {{type}}' }] },
        { title: 'Destination ports', description: 'Plugin port-distribution.', kind: 'timeseries', unit: 'cps', queries: [{ expr: top(10, rate('hubble_port_distribution_total', ['protocol', 'port'])), legend: '{{protocol}} {{port}}' }] },
      ],
    },
    {
      title: 'Connections', panels: [
        { title: 'TCP flags', description: 'Plugin tcp: packets that open, answer, end and reset connections.', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_tcp_flags_total', ['flag']), legend: '{{flag}}' }] },
        { title: 'Connections ended, by how', description: 'Plugin connection, as clients saw it: closed, reset, idle, or revoked by a change of policy.', kind: 'timeseries', unit: 'cps', queries: [{ expr: rate('hubble_connections_ended_total', ['protocol', 'end'], asClient), legend: '{{protocol}} {{end}}' }] },
        {
          title: 'Time to the first answer', description: 'Plugin connection: from the first packet to the first answer as the client saw both. Slow here: the network or an overloaded host. Fast here and slow requests: the application.',
          kind: 'timeseries', unit: 's', queries: [0.5, 0.99].map(q => ({ expr: quantile(q, 'hubble_connect_duration_seconds', [], asClient), legend: `p${q * 100}` })),
        },
        { title: 'Time to the first answer, by pair (p99)', description: 'Needs sourceContext and destinationContext of the plugin connection.', kind: 'timeseries', unit: 's', queries: [{ expr: top(10, quantile(0.99, 'hubble_connect_duration_seconds', pair, asClient)), legend: pairLegend }] },
        { title: 'Bytes of connections that ended, by pair', description: 'Plugin connection, both ways together.', kind: 'timeseries', unit: 'Bps', queries: [{ expr: top(10, rate('hubble_connection_bytes_total', pair, asClient)), legend: pairLegend }] },
        { title: 'Connections in the table', description: 'After the last sweep.', kind: 'timeseries', unit: 'short', queries: [{ expr: sum('cilium_datapath_conntrack_gc_entries', ['node'], 'status="alive"'), legend: '{{node}}' }] },
      ],
    },
    {
      title: 'Agents', panels: [
        { title: 'Fill of maps', description: 'Entries by capacity: raise the setting before one is full.', kind: 'timeseries', unit: 'percentunit', queries: [{ expr: `max by (map_name) (${selector('cilium_bpf_map_pressure')})`, legend: '{{map_name}}' }] },
        { title: 'Pod addresses given out', description: '', kind: 'timeseries', unit: 'percentunit', queries: [{ expr: `${sum('cilium_ip_addresses', ['node', 'family'])} / ${sum('cilium_ipam_capacity', ['node', 'family'])}`, legend: '{{node}} {{family}}' }] },
        { title: "Agents' processor time", description: 'Of one core.', kind: 'timeseries', unit: 'percentunit', queries: [{ expr: rate('process_cpu_seconds_total', ['node'], 'job=~".*cilium.*"'), legend: '{{node}}' }] },
        { title: "Agents' memory", description: '', kind: 'timeseries', unit: 'bytes', queries: [{ expr: sum('process_resident_memory_bytes', ['node'], 'job=~".*cilium.*"'), legend: '{{node}}' }] },
        { title: 'Calls to the Kubernetes API', description: '', kind: 'timeseries', unit: 'reqps', queries: [{ expr: rate('cilium_k8s_client_api_calls_total', ['method', 'return_code']), legend: '{{method}} {{return_code}}' }] },
        { title: 'Changes that the Kubernetes API told of', description: '', kind: 'timeseries', unit: 'cps', queries: [{ expr: top(10, rate('cilium_kubernetes_events_received_total', ['scope', 'action'])), legend: '{{scope}} {{action}}' }] },
      ],
    },
  ],
};
