import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { WebTimeline } from '../../../src/model/web.ts';
import { count, dateTime } from '../parts/format.ts';
import { useAnswer } from '../parts/use-answer.ts';
import { filterParams, go, place } from '../state/place.ts';
import { useStore } from '../state/store.ts';

const spans = [['1 h', 3_600_000], ['6 h', 6 * 3_600_000], ['24 h', 86_400_000], ['7 d', 7 * 86_400_000], ['30 d', 30 * 86_400_000]] as const;
const buckets = 120;
const height = 40;
const refreshMs = 15_000;

/** The history as bars by verdict: a drag chooses an interval of it, and everything else shows that. */
export function Scrubber() {
  const here = useStore(place);
  const [span, setSpan] = useState(0);
  const [tick, setTick] = useState(Date.now);
  const [drag, showDrag] = useState<readonly [number, number]>();
  // What the pointer has done, at once: the next event may come before the page is drawn anew.
  const dragged = useRef<readonly [number, number]>(undefined);
  const track = useRef<HTMLDivElement>(null);
  const length = spans[span]![1];
  const params = useMemo(() => {
    const until = Math.ceil(tick / refreshMs) * refreshMs;
    const query = filterParams(here.filter);
    query.set('since', new Date(until - length).toISOString());
    query.set('until', new Date(until).toISOString());
    query.set('buckets', String(buckets));
    return { query: String(query), since: until - length, until };
  }, [tick, length, here.filter]);
  const answer = useAnswer<WebTimeline>(`/api/timeline?${params.query}`);
  const timeline = useRef<WebTimeline>(undefined);
  if (answer.state === 'there') timeline.current = answer.value;
  useTicker(() => setTick(Date.now()));

  const shareOf = (time: string) => Math.max(0, Math.min(1, (Date.parse(time) - params.since) / (params.until - params.since)));
  const shareAt = (event: PointerEvent) => {
    const { left, width } = track.current!.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - left) / width));
  };
  const setDrag = (next: readonly [number, number] | undefined) => {
    dragged.current = next;
    showDrag(next);
  };
  const choose = ([a, b]: readonly [number, number]) => {
    const bucketMs = length / buckets;
    const [from, to] = [Math.min(a, b), Math.max(a, b)];
    // Whole bars: what is chosen is what was pointed at.
    const first = Math.min(buckets - 1, Math.floor(from * buckets));
    const since = params.since + first * bucketMs;
    const until = params.since + Math.max(first + 1, Math.ceil(to * buckets)) * bucketMs;
    go({ past: [new Date(since).toISOString(), new Date(until).toISOString()], flow: undefined });
  };
  const shown = drag ? [Math.min(...drag), Math.max(...drag)] as const : here.past ? [shareOf(here.past[0]), shareOf(here.past[1])] as const : undefined;
  const move = (by: number) => {
    const bucketMs = length / buckets;
    const [since, until] = here.past ? here.past.map(time => Date.parse(time)) as [number, number] : [params.until - bucketMs, params.until];
    go({ past: [new Date(since + by * bucketMs).toISOString(), new Date(until + by * bucketMs).toISOString()], flow: undefined });
  };
  return (
    <section class="scrubber" aria-label="Time">
      <button type="button" class={here.past ? 'live-button' : 'live-button is-live'} aria-pressed={here.past === undefined} onClick={() => go({ past: undefined, flow: undefined })}><span class="dot" />Live</button>
      <div class="track" ref={track} role="slider" tabIndex={0} aria-label="Interval of the history; arrow keys move it" aria-valuetext={here.past ? `${dateTime(here.past[0])} to ${dateTime(here.past[1])}` : 'now'} aria-valuenow={here.past ? Date.parse(here.past[0]) : params.until} aria-valuemin={params.since} aria-valuemax={params.until}
        onPointerDown={event => {
          track.current!.setPointerCapture(event.pointerId);
          const share = shareAt(event);
          setDrag([share, share]);
        }}
        onPointerMove={event => dragged.current && setDrag([dragged.current[0], shareAt(event)])}
        onPointerUp={event => {
          if (dragged.current) choose([dragged.current[0], shareAt(event)]);
          setDrag(undefined);
        }}
        onPointerCancel={() => setDrag(undefined)}
        onKeyDown={event => {
          const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0;
          if (by === 0) return;
          event.preventDefault();
          move(by);
        }}>
        <Bars timeline={timeline.current} />
        {shown && <div class="selection" style={{ left: `${100 * shown[0]}%`, width: `${Math.max(0.4, 100 * (shown[1] - shown[0]))}%` }} />}
        <span class="track-label">{dateTime(new Date(params.since).toISOString())}</span>
        {here.past && <span class="track-now">{dateTime(here.past[0])} – {dateTime(here.past[1])}</span>}
        {answer.state === 'failed' && <span class="track-now dropped">{answer.error}</span>}
      </div>
      <div class="segments" role="group" aria-label="How far back">{spans.map(([name], i) => <button key={name} type="button" aria-pressed={i === span} onClick={() => setSpan(i)}>{name}</button>)}</div>
    </section>
  );
}

function useTicker(tick: () => void): void {
  const call = useRef(tick);
  call.current = tick;
  useEffect(() => {
    const timer = setInterval(() => document.visibilityState === 'visible' && call.current(), refreshMs);
    return () => clearInterval(timer);
  }, []);
}

/** Square roots: a hundred drops among a million flows are still seen. */
function Bars({ timeline }: { readonly timeline: WebTimeline | undefined }) {
  if (!timeline) return null;
  const most = Math.max(1, ...timeline.buckets.map(({ forwarded, dropped, audited, other }) => Math.sqrt(forwarded + other) + Math.sqrt(dropped) + Math.sqrt(audited)));
  const width = 1000 / timeline.buckets.length;
  return (
    <svg viewBox={`0 0 1000 ${height}`} preserveAspectRatio="none" aria-hidden="true">
      {timeline.buckets.map((bucket, i) => {
        let y = height;
        const parts = [['forwarded', bucket.forwarded + bucket.other], ['audited', bucket.audited], ['dropped', bucket.dropped]] as const;
        return parts.map(([name, value]) => {
          if (value === 0) return null;
          const tall = Math.max(1, (height - 4) * Math.sqrt(value) / most);
          y -= tall;
          return <rect key={`${i}${name}`} class={`bar-${name}`} x={i * width + 0.6} y={y} width={Math.max(0.5, width - 1.2)} height={tall}><title>{`${count(value)} ${name}`}</title></rect>;
        });
      })}
    </svg>
  );
}
