import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Empty } from '../parts/empty.tsx';
import { Icon } from '../parts/icon.tsx';
import { mapNodeOf } from '../flows/names.ts';
import { flows, liveState, map, mapChanged } from '../state/live.ts';
import { go, place, windows } from '../state/place.ts';
import { useStore } from '../state/store.ts';
import { theme } from '../state/theme.ts';
import { Arranger } from './arranger.ts';
import { MapController, type Hovered } from './controller.ts';
import { EdgeTable } from './edge-table.tsx';
import { groupTitle, groupOf, pairKey, sceneOf, type Scene } from './scene.ts';
import { Tooltip } from './tooltip.tsx';

/** The live map: a canvas, what hovers over it, and a table of the same for those who cannot use a picture. */
export function MapView({ cluster }: { readonly cluster: string }) {
  const here = useStore(place);
  const version = useStore(mapChanged);
  const { filter } = here;
  const scene = useMemo(() => sceneOf(map, filter), [version, filter]);
  return (
    <section class="map" aria-label="Service map">
      {here.table ? <EdgeTable scene={scene} /> : <Canvas cluster={cluster} scene={scene} />}
      <MapState scene={scene} />
      <Controls />
    </section>
  );
}

function Canvas({ cluster, scene }: { readonly cluster: string; readonly scene: Scene }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const controller = useRef<MapController>(undefined);
  const arranger = useRef<Arranger>(undefined);
  const [hovered, setHovered] = useState<Hovered>();
  const [cursor, setCursor] = useState<string>();
  const [placed, setPlaced] = useState(0);
  const here = useStore(place);
  const colours = useStore(theme);
  const { namespace, label, text } = here.filter;
  const key = namespace === undefined && label === undefined && text === undefined ? '' : JSON.stringify([namespace, label, text]);

  useEffect(() => {
    const map = controller.current = new MapController(canvas.current!, {
      onHover: setHovered, onCursor: setCursor,
      onOpenNode: id => go({ node: id, pair: undefined, flow: undefined }),
      onOpenPair: (source, destination) => go({ pair: [source, destination], node: undefined, flow: undefined }),
      onClose: () => go({ node: undefined, pair: undefined }),
    });
    const places = arranger.current = new Arranger(cluster, () => setPlaced(count => count + 1));
    controls.current = { map, arrange: () => places.arrange(keyNow.current, sceneNow.current, { anew: true }) };
    const size = new ResizeObserver(([entry]) => map.resize(entry!.contentRect.width, entry!.contentRect.height));
    size.observe(canvas.current!.parentElement!);
    // What frame times are read from, by whoever measures.
    Object.assign(canvas.current!, { cirriMap: map });
    return () => {
      size.disconnect();
      map.dispose();
      places.dispose();
      controls.current = undefined;
    };
  }, [cluster]);

  const keyNow = useRef(key);
  const sceneNow = useRef(scene);
  [keyNow.current, sceneNow.current] = [key, scene];

  const isChosen = here.node !== undefined || here.pair !== undefined;
  useEffect(() => arranger.current!.arrange(key, scene, { isUntouched: controller.current!.fitsItself && !isChosen }), [key, scene]);
  useEffect(() => controller.current!.show(scene, arranger.current!.places(key)), [scene, key, placed]);
  useEffect(() => controller.current!.fit(), [key]);
  useEffect(() => controller.current!.recolour(), [colours]);
  // An open flow shows its line.
  const flow = here.flow === undefined || here.pair || here.node !== undefined ? undefined : flows.find(here.flow);
  const pair = here.pair?.join('\n') ?? (flow && (flow.isReply === true ? pairKey(mapNodeOf(flow.destination), mapNodeOf(flow.source)) : pairKey(mapNodeOf(flow.source), mapNodeOf(flow.destination))));
  useEffect(() => controller.current!.highlight({ ...(here.node !== undefined && { focus: here.node }), ...(pair !== undefined && { pair }) }), [here.node, pair]);

  const at = cursor === undefined ? undefined : scene.nodes.get(cursor);
  return (
    <>
      <canvas ref={canvas} tabIndex={0} role="application" aria-roledescription="map" aria-label={`Service map: ${scene.nodes.size} nodes, ${scene.pairs.length} connections. Arrow keys go from node to node, Enter opens one. The button Table shows the same as a table.`} />
      <div class="visually-hidden" role="status">{at ? `${at.name}, ${groupTitle(groupOf(at))}` : ''}</div>
      {hovered && <Tooltip hovered={hovered} scene={scene} />}
    </>
  );
}

/** For the buttons beside the canvas. */
const controls: { current: { readonly map: MapController; arrange(): void } | undefined } = { current: undefined };

function Controls() {
  const { window, table, past } = useStore(place);
  return (
    <div class="map-controls" role="toolbar" aria-label="Map">
      {!past && (
        <div class="segments" role="group" aria-label="Summed up over">
          {windows.map(seconds => <button key={seconds} type="button" aria-pressed={seconds === window} onClick={() => go({ window: seconds }, { replace: true })}>{seconds / 60} min</button>)}
        </div>
      )}
      {!table && (
        <div class="segments">
          <button type="button" title="Zoom in (+)" aria-label="Zoom in" onClick={() => controls.current?.map.zoom(1.25)}><Icon name="plus" /></button>
          <button type="button" title="Zoom out (−)" aria-label="Zoom out" onClick={() => controls.current?.map.zoom(0.8)}><Icon name="minus" /></button>
          <button type="button" title="Fit (f)" aria-label="Fit" onClick={() => controls.current?.map.fit()}><Icon name="fit" /></button>
          <button type="button" title="Arrange anew" aria-label="Arrange anew" onClick={() => controls.current?.arrange()}><Icon name="arrange" /></button>
        </div>
      )}
      <div class="segments">
        <button type="button" aria-pressed={table === true} onClick={() => go({ table: table ? undefined : true })}><Icon name="table" />Table</button>
      </div>
    </div>
  );
}

function MapState({ scene }: { readonly scene: Scene }) {
  const live = useStore(liveState);
  const { filter } = useStore(place);
  if (scene.nodes.size > 0) return null;
  if (live.state === 'connecting' || (live.state === 'past' && live.loading)) return <Empty title="Asking the nodes …" />;
  if (live.state === 'lost') return null;
  if (Object.keys(filter).some(name => name !== 'dns' && name !== 'events')) return <Empty title="Nothing matches these filters"><button type="button" class="button" onClick={() => go({ filter: {} })}>Clear filters</button></Empty>;
  return <Empty title="No connections yet">As soon as pods talk to each other, to names or to the world, they appear here.</Empty>;
}
