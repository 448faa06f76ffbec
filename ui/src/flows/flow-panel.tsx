import type { Flow, FlowEndpoint } from '../../../src/model/flow.ts';
import { readable } from '../../../src/model/readable.ts';
import { Empty } from '../parts/empty.tsx';
import { bytes, count, dateTime, nanoseconds, time } from '../parts/format.ts';
import { Facts, Panel } from '../parts/panel.tsx';
import { useAnswer } from '../parts/use-answer.ts';
import { flows } from '../state/live.ts';
import { go, setFilter } from '../state/place.ts';
import { EndName } from './flow-table.tsx';
import { Explanation } from './explanation.tsx';
import { decidedBy, endName, portOf, verdictWords } from './names.ts';

/** All of one flow; of a denial, why. */
export function FlowPanel({ id }: { readonly id: string }) {
  const known = flows.find(id);
  const asked = useAnswer<Flow>(known ? undefined : `/api/flow/${encodeURIComponent(id)}`);
  const flow = known ?? (asked.state === 'there' ? asked.value : undefined);
  const close = () => go({ flow: undefined });
  if (!flow) {
    return (
      <Panel title="Flow" label="Flow" onClose={close}>
        {asked.state === 'loading' ? <Empty title="Asking the nodes …" /> : <Empty title="This flow is gone">Nodes remember their newest flows only{asked.state === 'failed' && asked.status !== 404 ? `; ${asked.error}` : ''}.</Empty>}
      </Panel>
    );
  }
  const isDenied = flow.verdict === 'DROPPED' || flow.verdict === 'AUDIT';
  return (
    <Panel title={<><span class={`verdict verdict-${flow.verdict.toLowerCase()}`}>{verdictWords[flow.verdict]}</span> {portOf(flow)}</>} label="Flow" onClose={close}>
      <p class="who"><EndName end={flow.source} /><span class="dim"> → </span><EndName end={flow.destination} service={flow.service} /></p>
      {isDenied && <Explanation flow={flow} />}
      <h3>Flow</h3>
      <Facts rows={[
        ['Time', <span title={flow.time}>{dateTime(flow.time).split(',')[0]}, {time(flow.time)}</span>],
        ['Node', flow.nodeName],
        ['Direction', `${flow.direction.toLowerCase()}${flow.isReply === true ? ', reply' : ''}`],
        ['Seen at', flow.observationPoint ?? (flow.type === 'policy-verdict' ? 'policy verdict' : flow.type)],
        ['Reason', flow.dropReason],
        ['Decided by', !isDenied && decidedBy(flow)],
        ['Because', !isDenied && flow.rule && readable(flow.rule.because)],
        ['Service', flow.service && `${flow.service.namespace}/${flow.service.name} (${flow.service.ip}:${flow.service.port})`],
        ['Summary', flow.summary],
        ['Carried out', flow.inKernel && 'in the kernel, without a proxy'],
        ['First answer after', flow.connectLatencyNs !== undefined && nanoseconds(flow.connectLatencyNs)],
        ['Connection', flow.connection && `${flow.connection.end} after ${nanoseconds(flow.connection.durationNs)}: ${bytes(flow.connection.bytesOut)} out, ${bytes(flow.connection.bytesBack)} back, ${count(flow.connection.packetsOut + flow.connection.packetsBack)} packets`],
        ['Tunnel', flow.tunnel && `${flow.tunnel.protocol} ${flow.tunnel.source} → ${flow.tunnel.destination}`],
        ['Source NAT', flow.sourceXlated],
        ['Shadow', flow.shadow && `would ${flow.shadow} it`],
        ['Policy log', flow.policyLog?.join(', ')],
        ['Id', <code>{flow.id}</code>],
      ]} />
      {flow.l7 && <Layer7 flow={flow} />}
      <EndFacts title="Source" end={flow.source} port={flow.sourcePort} />
      <EndFacts title="Destination" end={flow.destination} port={flow.destinationPort} />
    </Panel>
  );
}

function Layer7({ flow: { l7 } }: { readonly flow: Flow }) {
  if (!l7) return null;
  const { dns, http, kafka, latencyNs } = l7;
  return (
    <>
      <h3>{dns ? 'DNS' : http ? 'HTTP' : 'Kafka'} {l7.type.toLowerCase()}</h3>
      <Facts rows={[
        ['Name', dns?.query], ['Types', dns?.qtypes?.join(', ')], ['Answer', dns?.ips?.join(', ')], ['Code', dns?.rcode === undefined ? undefined : String(dns.rcode)], ['Time to live', dns?.ttl === undefined ? undefined : `${dns.ttl} s`],
        ['Request', http && `${http.method} ${http.url}`], ['Status', http?.code === undefined ? undefined : String(http.code)],
        ['Topic', kafka?.topic], ['Call', kafka?.apiKey], ['Latency', latencyNs !== undefined && nanoseconds(latencyNs)],
      ]} />
    </>
  );
}

function EndFacts({ title, end, port }: { readonly title: string; readonly end: FlowEndpoint; readonly port: number | undefined }) {
  const { namespace, name } = endName(end);
  return (
    <>
      <h3>{title}</h3>
      <Facts rows={[
        ['Name', end.podName !== undefined && <button type="button" class="link" title="Show only this" onClick={() => setFilter({ text: `${namespace ?? ''}/${name}` })}>{namespace}/{name}</button>],
        ['Workload', end.workloads?.map(workload => `${workload.kind} ${workload.name}`).join(', ')],
        ['DNS', end.names?.map(each => each.replace(/\.$/, '')).join(', ')],
        ['Address', <code>{end.ip}{port === undefined ? '' : ` : ${port}`}</code>],
        ['Identity', String(end.identity)],
        ['Labels', end.labels.length > 0 && <span class="labels">{shownLabels(end.labels).map(label => <button type="button" key={label} class="label" title="Show only this label" onClick={() => setFilter({ label: selectorOf(label) })}>{label}</button>)}</span>],
      ]} />
    </>
  );
}

/** Without what the namespace says already. */
function shownLabels(labels: readonly string[]): readonly string[] {
  return labels.filter(label => !/^k8s:io\.(cilium\.k8s\.(namespace\.labels|policy)|kubernetes\.pod\.namespace)/.test(label)).map(label => label.replace(/^k8s:/, ''));
}

function selectorOf(label: string): string {
  return label.endsWith('=') ? label.slice(0, -1) : label;
}

