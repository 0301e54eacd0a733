// What an experiment logged and printed: the end of it, more above on demand, new lines as they come.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { CheckField, SelectField, TextField } from "@/components/Field";
import { Problem } from "@/components/Notice";
import { piecesOf } from "@/lib/ansi";
import { saveText } from "@/lib/download";
import { formatClock, formatWhole } from "@/lib/format";
import { useAt } from "@/lib/hub/queries";
import { onDelta } from "@/lib/live/client";
import type { LogEntry } from "@/types/api";
import type { PartProps } from "../model/part";
import { logsQuery, type LogChoice } from "../api/logs";
import classes from "./Experiment.module.css";

const LEVELS = [["", "any level"], ["info", "info and above"], ["warning", "warnings and above"], ["error", "errors"]] as const; // prettier-ignore
const ORDER = ["debug", "info", "warning", "error", "critical"];
const COLOURS = ["var(--dim)", "var(--failed)", "var(--good)", "var(--stopped)", "var(--accent)", "var(--accent)", "var(--running)", "var(--text)"];

export function Logs({ run, row }: PartProps): ReactNode {
  const [level, setLevel] = useState("");
  const [contains, setContains] = useState("");
  const [isFollowing, setFollowing] = useState(true);
  const at = useAt();
  const choice: LogChoice = { experiment: row.experiment_id, level, contains: useDeferredValue(contains) };
  return (
    <>
      <div className={classes.tools} data-search>
        <TextField label="Find in the lines" isLabelHidden isWide type="search" value={contains} placeholder="text in the lines" onChange={setContains} />
        <SelectField label="level" value={level} options={LEVELS} onChange={setLevel} />
        <CheckField label="follow" isOn={isFollowing} onChange={setFollowing} />
      </div>
      <Found key={JSON.stringify([choice, at])} run={run} choice={choice} at={at} isFollowing={isFollowing} />
    </>
  );
}

interface FoundProps {
  readonly run: string;
  readonly choice: LogChoice;
  readonly at: number | null;
  readonly isFollowing: boolean;
}

function Found({ run, choice, at, isFollowing }: FoundProps): ReactNode {
  const { data, error, refetch, fetchNextPage, hasNextPage } = useInfiniteQuery(logsQuery(run, choice, at));
  const live = useLiveLines(run, choice.experiment, choice.level, choice.contains, at === null);
  const lines = useMemo(() => {
    const stored = [...(data?.pages ?? [])].reverse().flatMap((page) => page.lines);
    const last = stored.at(-1)?.event_id ?? -1;
    return [...stored, ...live.filter((line) => line.event_id > last)];
  }, [data, live]);
  const save = (): void => saveText(lines.map((line) => `${new Date(line.logged_at * 1000).toISOString()} ${line.level} ${line.message}`).join("\n"), `${run}-${choice.experiment}.log`);
  return (
    <>
      <div className={classes.tools}>
        {hasNextPage ? <Button onClick={() => void fetchNextPage()}>Earlier lines</Button> : null}
        <Button onClick={save}>Save</Button>
      </div>
      {error === null ? <Lines lines={lines} isFollowing={isFollowing} /> : <Problem error={error} what="log" onRetry={() => void refetch()} />}
    </>
  );
}

/** Gives the lines that came since; whoever uses it is made anew for another choice of lines. */
function useLiveLines(run: string, experiment: number, level: string, contains: string, isLive: boolean): readonly LogEntry[] {
  const [lines, setLines] = useState<readonly LogEntry[]>([]);
  useEffect(() => {
    if (!isLive) return;
    return onDelta((delta) => {
      if (delta.run !== run) return;
      const own = delta.logs.filter(
        (line) =>
          line.experiment_id === experiment &&
          (level === "" || ORDER.indexOf(line.level) >= ORDER.indexOf(level)) &&
          line.message.toLowerCase().includes(contains.toLowerCase()),
      );
      if (own.length > 0) setLines((before) => [...before, ...own].slice(-20_000));
    });
  }, [run, experiment, level, contains, isLive]);
  return lines;
}

function Lines({ lines, isFollowing }: { readonly lines: readonly LogEntry[]; readonly isFollowing: boolean }): ReactNode {
  const scroller = useRef<HTMLDivElement>(null);
  const window = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 18,
    getItemKey: (index) => lines[index]?.event_id ?? index,
    overscan: 20,
  });
  useEffect(() => {
    if (isFollowing && lines.length > 0) window.scrollToIndex(lines.length - 1, { align: "end" });
  }, [isFollowing, lines.length, window]);
  if (lines.length === 0) return <p className="dim">No lines.</p>;
  return (
    <div ref={scroller} className={classes.logs} tabIndex={0} role="log" aria-label="Log lines">
      <div className={classes.lines} style={{ height: window.getTotalSize() }}>
        {window.getVirtualItems().map((item) => {
          const line = lines[item.index];
          if (line === undefined) return null;
          return (
            <div key={item.key} ref={window.measureElement} data-index={item.index} data-level={line.level} className={classes.line} style={{ transform: `translateY(${item.start}px)` }}>
              <time title={formatWhole(line.logged_at)}>{formatClock(line.logged_at)}</time>
              <span className={classes.level} title={line.logger}>
                {line.logger === "stdout" || line.logger === "stderr" ? line.logger : line.level}
              </span>
              <Message text={line.message} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Message({ text }: { readonly text: string }): ReactNode {
  return (
    <span>
      {piecesOf(text).map((piece, i) => (
        <span key={i} style={{ color: piece.colour === null ? undefined : COLOURS[piece.colour], fontWeight: piece.isBold ? 650 : undefined }}>
          {piece.text}
        </span>
      ))}
    </span>
  );
}
