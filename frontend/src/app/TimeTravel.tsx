// The slider over the events of a run: every page shows the state as it was, and plays on from there.
import { IconPlayerPause, IconPlayerPlay, IconPlayerSkipBack } from "@tabler/icons-react";
import { useIsFetching, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { Button, IconButton } from "@/components/Button";
import { formatCount, formatMoment } from "@/lib/format";
import { runQuery, timelineQuery, useAt } from "@/lib/hub/queries";
import { changeView } from "@/lib/url";
import type { Timeline } from "@/types/api";
import classes from "./TimeTravel.module.css";

const FRAME_MS = 350;
const FRAMES = 60;
const SETTLE_MS = 120;

export function TimeTravel({ run }: { readonly run: string }): ReactNode {
  const at = useAt();
  const client = useQueryClient();
  // A frame stands until its pages have been read: faster than that nothing would be seen of it.
  const isReading = useIsFetching() > 0;
  const { data: live } = useQuery(runQuery(run, null));
  const { data: timeline, refetch } = useQuery({ ...timelineQuery(run), enabled: live !== undefined });
  const [isPlaying, setPlaying] = useState(false);
  // What the thumb shows while it is dragged; the pages follow when it rests.
  const [dragged, setDragged] = useState<number | null>(null);
  const last = live?.num_events ?? 0;
  const shown = dragged ?? at ?? last;

  useEffect(() => {
    if (dragged === null) return;
    const timer = setTimeout(() => {
      changeView({ at: dragged >= last ? null : String(dragged) }, { replace: true });
      setDragged(null);
    }, SETTLE_MS);
    return () => clearTimeout(timer);
  }, [dragged, last]);

  useEffect(() => {
    if (!isPlaying || isReading) return;
    const timer = setTimeout(() => {
      // Looked up only now: a run that goes on has more events with each moment, which must not put the next frame off.
      const end = client.getQueryData(runQuery(run, null).queryKey)?.num_events ?? 0;
      const next = (at ?? 0) + Math.max(1, Math.ceil(end / FRAMES));
      if (next >= end) setPlaying(false);
      changeView({ at: next >= end ? null : String(next) }, { replace: true });
    }, FRAME_MS);
    return () => clearTimeout(timer);
  }, [isPlaying, isReading, at, client, run]);

  // A link may come from a log that had more events, or from somebody's guess: after the last one comes the end.
  const isBeyond = live !== undefined && at !== null && at > last;
  useEffect(() => {
    if (isBeyond) changeView({ at: null }, { replace: true });
  }, [isBeyond]);

  if (live === undefined || last === 0) return null;
  const play = (): void => {
    void refetch();
    if (!isPlaying && at === null) changeView({ at: "1" });
    setPlaying(!isPlaying);
  };
  const moment = momentOf(timeline, shown) ?? (at === null ? live.last_event_at : null);
  const isLive = at === null && dragged === null;
  return (
    <section className={classes.bar} data-live={isLive} aria-label="Time travel">
      <IconButton label="To the first event" onClick={() => changeView({ at: "1" })}>
        <IconPlayerSkipBack />
      </IconButton>
      <IconButton label={isPlaying ? "Pause" : "Play the run"} isOn={isPlaying} onClick={play}>
        {isPlaying ? <IconPlayerPause /> : <IconPlayerPlay />}
      </IconButton>
      <div className={classes.track}>
        <Marks timeline={timeline} last={last} />
        <input
          type="range"
          min={1}
          max={last}
          value={shown}
          aria-label="State after so many events"
          aria-valuetext={`event ${shown} of ${last}, ${formatMoment(moment)}`}
          onPointerDown={() => void refetch()}
          onChange={(event) => {
            setPlaying(false);
            setDragged(Number(event.target.value));
          }}
        />
      </div>
      <span className={`${classes.words ?? ""} number`}>
        <span className={classes.event}>
          {isLive ? `${formatCount(last)} events` : `event ${formatCount(shown)} of ${formatCount(last)}`}
        </span>
        <span>{formatMoment(moment)}</span>
      </span>
      {isLive ? (
        <span className={classes.live}>{live.is_live || live.status === "running" ? "live" : "latest"}</span>
      ) : (
        <Button
          look="primary"
          onClick={() => {
            setPlaying(false);
            changeView({ at: null });
          }}
        >
          To {live.status === "running" ? "live" : "the end"}
        </Button>
      )}
    </section>
  );
}

function Marks({ timeline, last }: { readonly timeline: Timeline | undefined; readonly last: number }): ReactNode {
  const marks = useMemo(() => timeline?.marks.filter(({ kind }) => kind !== "experiment_started") ?? [], [timeline]);
  return (
    <span className={classes.marks} aria-hidden>
      {marks.map((mark) => (
        <i key={`${mark.event_id} ${mark.kind}`} data-kind={mark.kind} style={{ left: `${((mark.event_id + 1) / last) * 100}%` }} />
      ))}
    </span>
  );
}

/** Gives when so many events had happened. */
function momentOf(timeline: Timeline | undefined, at: number): number | null {
  if (timeline === undefined || timeline.event_ids.length === 0) return null;
  let [low, high] = [0, timeline.event_ids.length - 1];
  if (at > (timeline.event_ids[high] ?? 0) + 1) return null;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((timeline.event_ids[middle] ?? 0) < at) low = middle + 1;
    else high = middle;
  }
  return timeline.times[low] ?? null;
}
