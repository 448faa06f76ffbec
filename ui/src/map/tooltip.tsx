import { nanoseconds, percent, rate } from '../parts/format.ts';
import type { Hovered } from './controller.ts';
import { kindText, portsText } from './paint.ts';
import { groupOf, groupTitle, eventsOf, latencyOf, type Pair, type Scene } from './scene.ts';

export function Tooltip({ hovered, scene }: { readonly hovered: Hovered; readonly scene: Scene }) {
  const node = hovered.node === undefined ? undefined : scene.nodes.get(hovered.node);
  const pair = hovered.pair === undefined ? undefined : scene.pairs.find(each => each.key === hovered.pair);
  if (!node && !pair) return null;
  return (
    <div class={hovered.x > 620 ? 'tooltip at-left' : 'tooltip'} style={{ left: `${hovered.x}px`, top: `${hovered.y + 14}px` }} aria-hidden="true">
      {node && (
        <>
          <strong>{node.name}</strong>
          <div class="dim">{kindText(node)} · {groupTitle(groupOf(node))}</div>
          <Sums pairs={scene.pairs.filter(each => each.source === node.id || each.destination === node.id)} />
        </>
      )}
      {pair && (
        <>
          <strong>{scene.nodes.get(pair.source)?.name} → {scene.nodes.get(pair.destination)?.name}</strong>
          <div class="dim">{portsText(pair)}</div>
          <Sums pairs={[pair]} />
        </>
      )}
    </div>
  );
}

function Sums({ pairs }: { readonly pairs: readonly Pair[] }) {
  const edges = pairs.flatMap(pair => pair.edges);
  const sum = (field: 'rate' | 'dropped' | 'errors' | 'audited') => pairs.reduce((total, pair) => total + pair[field], 0);
  const latency = latencyOf(edges);
  return (
    <dl>
      <dt>Rate</dt><dd>{rate(sum('rate'))}</dd>
      <dt>Errors</dt><dd>{percent(sum('errors'), edges.reduce((total, edge) => total + eventsOf(edge), 0))}</dd>
      {latency && <><dt>p50 · p99</dt><dd>{nanoseconds(latency.p50)} · {nanoseconds(latency.p99)}</dd></>}
      {sum('audited') > 0 && <><dt>Audited</dt><dd class="audited">{sum('audited').toLocaleString('en')}</dd></>}
      {sum('dropped') > 0 && <><dt>Dropped</dt><dd class="dropped">{sum('dropped').toLocaleString('en')}</dd></>}
    </dl>
  );
}
