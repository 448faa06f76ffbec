import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Flow, FlowEndpoint } from '../../../src/model/flow.ts';
import { readable } from '../../../src/model/readable.ts';
import { Empty } from '../parts/empty.tsx';
import { count, time } from '../parts/format.ts';
import { Icon } from '../parts/icon.tsx';
import { flows, flowsChanged, liveState } from '../state/live.ts';
import { go, place } from '../state/place.ts';
import { useStore } from '../state/store.ts';
import { decidedBy, endName, mapNodeOf, portOf, saidIn, verdictWords } from './names.ts';

const rowHeight = 32;
/** Beyond what is seen, so that scrolling finds rows there. */
const spareRows = 8;

/**
 * Flows, the newest on top. Only the rows that are seen exist. Whoever scrolls down or points at a row holds the table still; new
 * ones are counted until it is let go.
 */
export function FlowTable() {
  const here = useStore(place);
  useStore(flowsChanged);
  const body = useRef<HTMLDivElement>(null);
  const [scroll, setScroll] = useState({ top: 0, height: 600 });
  const [held, setHeld] = useState<{ readonly rows: readonly Flow[]; readonly total: number }>();
  const matches = useMemo(() => selection(here.node, here.pair), [here.node, here.pair]);
  const rows = held?.rows ?? flows.snapshot(matches);
  const isHeld = held !== undefined;

  useEffect(() => setHeld(undefined), [matches, here.filter, here.past]);
  useEffect(() => {
    const size = new ResizeObserver(([entry]) => setScroll(before => ({ ...before, height: entry!.contentRect.height })));
    size.observe(body.current!);
    return () => size.disconnect();
  }, []);

  const hold = () => setHeld(before => before ?? { rows: flows.snapshot(matches), total: flows.total });
  const letGo = () => {
    setHeld(undefined);
    body.current!.scrollTop = 0;
  };
  const onScroll = () => {
    const { scrollTop, clientHeight } = body.current!;
    setScroll({ top: scrollTop, height: clientHeight });
    if (scrollTop > rowHeight / 2) hold();
    else if (here.flow === undefined) setHeld(undefined);
  };
  const open = (flow: Flow) => {
    hold();
    go({ flow: flow.id });
  };
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    const all = held?.rows ?? rows;
    const current = here.flow === undefined ? -1 : all.length - 1 - all.findLastIndex(flow => flow.id === here.flow);
    const next = Math.max(0, Math.min(all.length - 1, current + step));
    if (all.length === 0) return;
    open(all[all.length - 1 - next]!);
    const element = body.current!;
    if (next * rowHeight < element.scrollTop) element.scrollTop = next * rowHeight;
    if ((next + 1) * rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = (next + 1) * rowHeight - element.clientHeight;
  };

  const first = Math.max(0, Math.floor(scroll.top / rowHeight) - spareRows);
  const last = Math.min(rows.length, Math.ceil((scroll.top + scroll.height) / rowHeight) + spareRows);
  const seen: preact.JSX.Element[] = [];
  for (let i = first; i < last; i++) {
    const flow = rows[rows.length - 1 - i]!;
    seen.push(<Row key={flow.id} flow={flow} top={i * rowHeight} index={i} isOpen={flow.id === here.flow} onOpen={open} />);
  }
  const news = isHeld ? flows.total - held.total : 0;
  return (
    <section class="flows" aria-label="Flows">
      <div class="flow-table" role="table" aria-label="Flows" aria-rowcount={rows.length + 1}>
        <div class="flow-row flow-head" role="row" aria-rowindex={1}>
          {['Time', 'Source', 'Destination', 'Port', 'Verdict', 'Request or policy'].map(title => <div key={title} role="columnheader">{title}</div>)}
        </div>
        <div class="flow-body" role="rowgroup" ref={body} onScroll={onScroll} onKeyDown={onKey} tabIndex={0} aria-label="Rows; arrow keys open one after the other">
          <div class="flow-space" style={{ height: `${rows.length * rowHeight}px` }}>{seen}</div>
          {rows.length === 0 && <NoFlows />}
        </div>
      </div>
      {news > 0 && <button type="button" class="news" onClick={letGo}><Icon name="up" />{count(news)} new</button>}
      <Footer rows={rows.length} isHeld={isHeld} onLetGo={letGo} />
    </section>
  );
}

function selection(node: string | undefined, pair: readonly [string, string] | undefined): ((flow: Flow) => boolean) | undefined {
  if (pair) {
    const ends = new Set(pair);
    return flow => ends.has(mapNodeOf(flow.source)) && ends.has(mapNodeOf(flow.destination));
  }
  return node === undefined ? undefined : flow => mapNodeOf(flow.source) === node || mapNodeOf(flow.destination) === node;
}

function Row({ flow, top, index, isOpen, onOpen }: { readonly flow: Flow; readonly top: number; readonly index: number; readonly isOpen: boolean; readonly onOpen: (flow: Flow) => void }) {
  return (
    <div class={`flow-row verdict-${flow.verdict.toLowerCase()}`} role="row" aria-rowindex={index + 2} aria-selected={isOpen} style={{ transform: `translateY(${top}px)` }} onClick={() => onOpen(flow)} data-flow={flow.id}>
      <div role="cell" class="mono dim">{time(flow.time)}</div>
      <div role="cell"><EndName end={flow.source} /></div>
      <div role="cell"><span class="dim arrow">{flow.isReply === true ? '↩' : '→'}</span><EndName end={flow.destination} service={flow.service} /></div>
      <div role="cell" class="mono">{portOf(flow)}</div>
      <div role="cell"><span class="verdict">{verdictWords[flow.verdict]}</span></div>
      <Decision flow={flow} />
    </div>
  );
}

/** What was asked, then who decided. */
function Decision({ flow }: { readonly flow: Flow }) {
  const [said, by] = [saidIn(flow), decidedBy(flow)];
  const because = flow.rule ? readable(flow.rule.because) : flow.summary;
  return <div role="cell" class="dim" title={said === '' ? because : `${flow.summary}\n${because}`}>{said !== '' && <span class="said">{said}</span>}{said !== '' && by !== '' && ' · '}{by}</div>;
}

export function EndName({ end, service }: { readonly end: FlowEndpoint; readonly service?: Flow['service'] }) {
  const { namespace, name, isAddress } = endName(end, service);
  return <>{namespace !== undefined && <span class="dim">{namespace}/</span>}<span class={isAddress ? 'mono' : 'name'}>{name}</span></>;
}

function NoFlows() {
  const live = useStore(liveState);
  const { filter, past } = useStore(place);
  if (live.state === 'connecting' || (live.state === 'past' && live.loading)) return <Empty title="Asking the nodes …" />;
  if (past) return <Empty title="No flows in this interval" />;
  if (Object.keys(filter).some(name => name !== 'dns' && name !== 'events')) return <Empty title="No flows match"><button type="button" class="button" onClick={() => go({ filter: {}, node: undefined, pair: undefined })}>Clear filters</button></Empty>;
  return <Empty title="Waiting for the first flow" />;
}

function Footer({ rows, isHeld, onLetGo }: { readonly rows: number; readonly isHeld: boolean; readonly onLetGo: () => void }) {
  return (
    <footer class="flow-footer dim">
      <span>{count(rows)} shown</span>
      {flows.left > 0 && <span title="There were more than can be shown. Filters narrow it down at the nodes.">{count(flows.left)} more matched and were left out</span>}
      {flows.lost > 0 && <span class="dropped">{count(flows.lost)} lost before they could be seen</span>}
      <span class="grow" />
      {isHeld ? <button type="button" class="link" onClick={onLetGo}>held still · resume</button> : <span>following</span>}
    </footer>
  );
}
