import { bytes, count, nanoseconds, percent, rate } from '../parts/format.ts';
import { go } from '../state/place.ts';
import { eventsOf, groupOf, groupTitle, latencyOf, type Scene } from './scene.ts';
import type { MapNode } from '../../../src/model/service-map.ts';

const mostRows = 1000;

/** The map as rows: the busiest first. */
export function EdgeTable({ scene }: { readonly scene: Scene }) {
  const edges = scene.pairs.flatMap(pair => pair.edges).sort((a, b) => b.dropped - a.dropped || eventsOf(b) - eventsOf(a));
  return (
    <div class="edge-table">
      <table>
        <caption class="visually-hidden">Connections of the service map</caption>
        <thead><tr><th scope="col">Source</th><th scope="col">Destination</th><th scope="col">Port</th><th scope="col" class="number">Rate</th><th scope="col" class="number">Dropped</th><th scope="col" class="number">Errors</th><th scope="col" class="number">p50</th><th scope="col" class="number">p99</th><th scope="col" class="number">Bytes</th></tr></thead>
        <tbody>
          {edges.slice(0, mostRows).map(edge => {
            const latency = latencyOf([edge]);
            return (
              <tr key={`${edge.source} ${edge.destination} ${edge.protocol} ${edge.port} ${edge.l7}`} onClick={() => go({ pair: [edge.source, edge.destination], node: undefined, flow: undefined })}>
                <td><NodeName node={scene.nodes.get(edge.source)!} /></td>
                <td><button type="button" class="link" onClick={() => go({ pair: [edge.source, edge.destination], node: undefined, flow: undefined })}><NodeName node={scene.nodes.get(edge.destination)!} /></button></td>
                <td>{edge.l7 ?? edge.protocol}{edge.port === 0 ? '' : ` ${edge.port}`}</td>
                <td class="number">{rate(eventsOf(edge) / Math.max(1, scene.seconds))}</td>
                <td class={edge.dropped > 0 ? 'number dropped' : 'number dim'}>{count(edge.dropped)}</td>
                <td class="number">{percent(edge.errors, eventsOf(edge))}</td>
                <td class="number">{latency ? nanoseconds(latency.p50) : '–'}</td>
                <td class="number">{latency ? nanoseconds(latency.p99) : '–'}</td>
                <td class="number">{bytes(edge.bytesOut + edge.bytesBack)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {edges.length > mostRows && <p class="dim">The busiest {mostRows} of {count(edges.length)}: filter for the others.</p>}
    </div>
  );
}

export function NodeName({ node }: { readonly node: MapNode }) {
  return <>{node.namespace !== undefined && <span class="dim">{node.namespace}/</span>}{node.name}{node.namespace === undefined && <span class="dim"> {groupTitle(groupOf(node)).toLowerCase()}</span>}</>;
}
