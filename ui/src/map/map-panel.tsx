import { useMemo } from 'preact/hooks';
import { bytes, count, nanoseconds, percent, rate } from '../parts/format.ts';
import { Facts, Panel } from '../parts/panel.tsx';
import { Empty } from '../parts/empty.tsx';
import { map, mapChanged } from '../state/live.ts';
import { go, place, setFilter } from '../state/place.ts';
import { useStore } from '../state/store.ts';
import type { EdgeTotal } from '../state/map-window.ts';
import { NodeName } from './edge-table.tsx';
import { kindText } from './paint.ts';
import { eventsOf, groupOf, groupTitle, latencyOf, sceneOf, type Pair, type Scene } from './scene.ts';

const noFilter = {};

/** A node with whom it calls and who calls it; or a line with its ports. */
export function MapPanel() {
  const here = useStore(place);
  const version = useStore(mapChanged);
  const scene = useMemo(() => sceneOf(map, noFilter), [version]);
  const close = () => go({ node: undefined, pair: undefined });
  if (here.pair) return <PairPanel scene={scene} pair={here.pair} onClose={close} />;
  if (here.node !== undefined) return <NodePanel scene={scene} id={here.node} onClose={close} />;
  return null;
}

function NodePanel({ scene, id, onClose }: { readonly scene: Scene; readonly id: string; readonly onClose: () => void }) {
  const node = map.nodes.get(id);
  if (!node) return <Panel title="Gone" label="Node" onClose={onClose}><Empty title="Nothing of it has been seen lately" /></Panel>;
  const [incoming, outgoing] = [scene.pairs.filter(pair => pair.destination === id), scene.pairs.filter(pair => pair.source === id)];
  const labels = node.labels.filter(label => !/io\.(cilium\.k8s\.(namespace\.labels|policy)|kubernetes\.pod\.namespace)/.test(label)).map(label => label.replace(/^k8s:/, ''));
  return (
    <Panel title={node.name} label="Node" onClose={onClose}>
      <p class="who dim">{kindText(node)} · {groupTitle(groupOf(node))}</p>
      <div class="button-row">
        {node.namespace !== undefined && <button type="button" class="button" onClick={() => go({ page: 'flows', filter: { namespace: node.namespace!, text: node.name } })}>Flows</button>}
        {node.namespace !== undefined && <button type="button" class="button" onClick={() => setFilter({ namespace: node.namespace })}>Only {node.namespace}</button>}
        {node.namespace !== undefined && <button type="button" class="button" onClick={() => go({ page: 'policies', matrix: node.namespace })}>Who may talk to it</button>}
      </div>
      <Numbers pairs={[...incoming, ...outgoing]} seconds={scene.seconds} />
      <PairList title="Called by" pairs={incoming} scene={scene} other="source" />
      <PairList title="Calls" pairs={outgoing} scene={scene} other="destination" />
      {(node.services ?? []).length > 0 && <><h3>Services</h3><Facts rows={[['Reached as', (node.services ?? []).join(', ')]]} /></>}
      {labels.length > 0 && <><h3>Labels</h3><span class="labels">{labels.map(label => <button type="button" key={label} class="label" onClick={() => setFilter({ label })}>{label}</button>)}</span></>}
    </Panel>
  );
}

function PairPanel({ scene, pair: [source, destination], onClose }: { readonly scene: Scene; readonly pair: readonly [string, string]; readonly onClose: () => void }) {
  const pair = scene.pairs.find(each => each.source === source && each.destination === destination);
  const [from, to] = [map.nodes.get(source), map.nodes.get(destination)];
  if (!pair || !from || !to) return <Panel title="Quiet" label="Connection" onClose={onClose}><Empty title="Nothing passed between the two lately" /></Panel>;
  const lastDrop = pair.edges.find(edge => edge.dropped > 0 && edge.lastDrop !== undefined)?.lastDrop;
  return (
    <Panel title={<>{from.name} <span class="dim">→</span> {to.name}</>} label="Connection" onClose={onClose}>
      <p class="who"><button type="button" class="link" onClick={() => go({ node: source, pair: undefined })}><NodeName node={from} /></button><span class="dim"> → </span><button type="button" class="link" onClick={() => go({ node: destination, pair: undefined })}><NodeName node={to} /></button></p>
      {lastDrop !== undefined && <div class="button-row"><button type="button" class="button primary" onClick={() => go({ flow: lastDrop })}>Why was it dropped?</button></div>}
      <Numbers pairs={[pair]} seconds={scene.seconds} />
      <h3>Ports</h3>
      <table class="ports">
        <thead><tr><th scope="col">Port</th><th scope="col" class="number">Rate</th><th scope="col" class="number">Errors</th><th scope="col" class="number">p50</th><th scope="col" class="number">p99</th><th scope="col" class="number">Dropped</th></tr></thead>
        <tbody>{pair.edges.map(edge => <PortRow key={`${edge.protocol} ${edge.port} ${edge.l7}`} edge={edge} seconds={scene.seconds} />)}</tbody>
      </table>
      {pair.edges.some(edge => edge.dropReasons) && <><h3>Why dropped</h3><Facts rows={reasons(pair)} wide /></>}
    </Panel>
  );
}

function PortRow({ edge, seconds }: { readonly edge: EdgeTotal; readonly seconds: number }) {
  const latency = latencyOf([edge]);
  return (
    <tr>
      <td>{edge.l7 ?? edge.protocol}{edge.port === 0 ? '' : ` ${edge.port}`}</td>
      <td class="number">{rate(eventsOf(edge) / Math.max(1, seconds))}</td>
      <td class="number">{percent(edge.errors, eventsOf(edge))}</td>
      <td class="number">{latency ? nanoseconds(latency.p50) : '–'}</td>
      <td class="number">{latency ? nanoseconds(latency.p99) : '–'}</td>
      <td class={edge.dropped > 0 ? 'number dropped' : 'number dim'}>{count(edge.dropped)}</td>
    </tr>
  );
}

function reasons({ edges }: Pair): readonly (readonly [string, string])[] {
  const sums = new Map<string, number>();
  for (const { dropReasons } of edges) for (const [reason, times] of Object.entries(dropReasons ?? {})) if (times > 0) sums.set(reason, (sums.get(reason) ?? 0) + times);
  return [...sums].sort(([, a], [, b]) => b - a).map(([reason, times]) => [reason, count(times)] as const);
}

function Numbers({ pairs, seconds }: { readonly pairs: readonly Pair[]; readonly seconds: number }) {
  const edges = pairs.flatMap(pair => pair.edges);
  const sum = (value: (edge: EdgeTotal) => number) => edges.reduce((total, edge) => total + value(edge), 0);
  const latency = latencyOf(edges);
  const dropped = sum(edge => edge.dropped);
  const tiles: readonly (readonly [string, string, string?])[] = [
    ['Rate', rate(sum(eventsOf) / Math.max(1, seconds))],
    ['Errors', percent(sum(edge => edge.errors), sum(eventsOf))],
    ['p50', latency ? nanoseconds(latency.p50) : '–'],
    ['p99', latency ? nanoseconds(latency.p99) : '–'],
    ['Traffic', bytes(sum(edge => edge.bytesOut + edge.bytesBack))],
    ['Dropped', count(dropped), dropped > 0 ? 'dropped' : ''],
  ];
  return <dl class="tiles">{tiles.map(([name, value, tone]) => <div key={name}><dt>{name}</dt><dd class={tone ?? ''}>{value}</dd></div>)}</dl>;
}

function PairList({ title, pairs, scene, other }: { readonly title: string; readonly pairs: readonly Pair[]; readonly scene: Scene; readonly other: 'source' | 'destination' }) {
  if (pairs.length === 0) return null;
  return (
    <>
      <h3>{title} <span class="dim">{pairs.length}</span></h3>
      <ul class="pair-list">
        {pairs.toSorted((a, b) => b.dropped - a.dropped || b.rate - a.rate).slice(0, 40).map(pair => (
          <li key={pair.key}>
            <button type="button" onClick={() => go({ pair: [pair.source, pair.destination], node: undefined })}>
              <span><NodeName node={scene.nodes.get(pair[other])!} /></span>
              <span class={pair.dropped > 0 ? 'number dropped' : 'number dim'}>{pair.dropped > 0 ? `${count(pair.dropped)} dropped` : rate(pair.rate)}</span>
            </button>
          </li>
        ))}
      </ul>
    </>
  );
}
