// What an experiment logged and printed: the end of it, more above on demand, new lines as they come.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { CheckField, SelectField, TextField } from "@/components/Field";
import { Problem, Waiting } from "@/components/Notice";
import { piecesOf, withoutAnsi } from "@/lib/ansi";
import { saveText } from "@/lib/download";
import { countOf, formatClock, formatWhole } from "@/lib/format";
import { useAt } from "@/lib/hub/queries";
import { onDelta } from "@/lib/live/client";
import { useParameter } from "@/lib/url";
import type { LogEntry } from "@/types/api";
import { gravityOf } from "../model/levels";
import type { PartProps } from "../model/part";
import { allLines, logsQuery, type LogChoice } from "../api/logs";
import classes from "./Experiment.module.css";

const LEVELS = [["", "any level"], ["info", "info and above"], ["warning", "warnings and above"], ["error", "errors"]] as const; // prettier-ignore
const FEW_LINES = 100;
const NO_LINES: readonly LogEntry[] = [];
const COLOURS = ["var(--dim)", "var(--failed)", "var(--good)", "var(--stopped)", "var(--accent)", "var(--accent)", "var(--running)", "var(--text)"];

export function Logs({ run, row }: PartProps): ReactNode {
  const [level, setLevel] = useParameter("level");
  const [contains, setContains] = useParameter("find");
  const at = useAt();
  const choice: LogChoice = { experiment: row.experiment_id, level: level ?? "", contains: useDeferredValue(contains ?? "") };
  return (
    <Found run={run} choice={choice} at={at}>
      <TextField label="Find in the lines" isLabelHidden isWide type="search" value={contains ?? ""} onChange={setContains} placeholder="text in the lines" />
      <SelectField label="level" value={level ?? ""} options={LEVELS} onChange={setLevel} />
    </Found>
  );
}

interface FoundProps {
  readonly run: string;
  readonly choice: LogChoice;
  readonly at: number | null;
  readonly children: ReactNode;
}

function Found({ run, choice, at, children }: FoundProps): ReactNode {
  const [isFollowing, setFollowing] = useState(true);
  const { data, error, refetch, fetchNextPage, hasNextPage, isFetchingNextPage } = useInfiniteQuery(logsQuery(run, choice, at));
  const live = useLiveLines(run, choice.experiment, choice.level, choice.contains, at === null);
  const lines = useMemo(() => {
    const stored = [...(data?.pages ?? [])].reverse().flatMap((page) => page.lines);
    const last = stored.at(-1)?.event_id ?? -1;
    return [...stored, ...live.filter((line) => line.event_id > last)];
  }, [data, live]);
  const onTop = (): void => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  };
  // The hub looks through so many events at a time: it may have found few lines, or none, and know of more to look through.
  const isLooking = hasNextPage && error === null && lines.length < FEW_LINES;
  useEffect(() => {
    if (isLooking && !isFetchingNextPage) void fetchNextPage();
  }, [isLooking, isFetchingNextPage, fetchNextPage]);
  return (
    <>
      <div className={classes.tools} data-search>
        {children}
        <CheckField label="follow" isOn={isFollowing} onChange={setFollowing} />
        <span className="dim number">
          {countOf(lines.length, "line")}
          {isLooking ? ", looking for more" : hasNextPage ? ", earlier ones as you scroll up" : ""}
        </span>
        <SaveLog run={run} choice={choice} at={at} />
      </div>
      {error !== null ? <Problem error={error} what="log" onRetry={() => void refetch()} /> : data === undefined || (isLooking && lines.length === 0) ? <Waiting what="the log" /> : <Lines key={JSON.stringify([choice, at])} lines={lines} isFollowing={isFollowing} onFollow={setFollowing} onTop={onTop} />}
    </>
  );
}

function SaveLog({ run, choice, at }: Omit<FoundProps, "children">): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const save = async (): Promise<void> => {
    const lines = await allLines(run, choice, at);
    // Whoever looks at the file in a terminal is not to be told by a log what the terminal does.
    const text = lines.map((line) => `${new Date(line.logged_at * 1000).toISOString()} ${line.level} ${withoutAnsi(line.message)}\n`).join("");
    saveText(text, `${run}-${choice.experiment}.log`);
  };
  const onClick = (): void => {
    setProblem(null);
    save().catch((error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  };
  return (
    <>
      <Button title="Every line that matches, the earlier ones too" onClick={onClick}>
        Save
      </Button>
      {problem === null ? null : <span role="alert">{problem}</span>}
    </>
  );
}

/** Gives the lines that came since, of the choice that is shown. */
function useLiveLines(run: string, experiment: number, level: string, contains: string, isLive: boolean): readonly LogEntry[] {
  const choice = JSON.stringify([run, experiment, level, contains]);
  const [came, setCame] = useState<{ readonly of: string; readonly lines: readonly LogEntry[] }>({ of: choice, lines: NO_LINES });
  useEffect(() => {
    if (!isLive) return;
    return onDelta((delta) => {
      if (delta.run !== run) return;
      const own = delta.logs.filter(
        (line) =>
          line.experiment_id === experiment &&
          (level === "" || gravityOf(line.level) >= gravityOf(level)) &&
          line.message.toLowerCase().includes(contains.toLowerCase()),
      );
      if (own.length > 0) setCame((before) => ({ of: choice, lines: [...(before.of === choice ? before.lines : []), ...own].slice(-20_000) }));
    });
  }, [run, experiment, level, contains, isLive, choice]);
  return isLive && came.of === choice ? came.lines : NO_LINES;
}

interface LinesProps {
  readonly lines: readonly LogEntry[];
  readonly isFollowing: boolean;
  readonly onFollow: (isFollowing: boolean) => void;
  readonly onTop: () => void;
}

const NEAR_TOP_PX = 800;

function Lines({ lines, isFollowing, onFollow, onTop }: LinesProps): ReactNode {
  const scroller = useRef<HTMLDivElement>(null);
  const before = useRef({ first: -1, size: 0, top: 0 });
  const window = useVirtualizer({
    count: lines.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 18,
    getItemKey: (index) => lines[index]?.event_id ?? index,
    overscan: 20,
  });
  const [first, last] = [lines[0]?.event_id ?? -1, lines.at(-1)?.event_id ?? -1];
  useLayoutEffect(() => {
    const [size, { current: box }] = [window.getTotalSize(), scroller];
    // Earlier lines come above: what is looked at stays where it is.
    if (box !== null && first < before.current.first) box.scrollTop += size - before.current.size;
    before.current = { first, size, top: box?.scrollTop ?? 0 };
  }, [first, last, window]);
  useEffect(() => {
    if (isFollowing && last >= 0) window.scrollToIndex(lines.length - 1, { align: "end" });
    // Only what comes at the end is followed.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [isFollowing, last, window]);
  const onScroll = (): void => {
    const box = scroller.current;
    if (box === null) return;
    if (box.scrollTop < before.current.top - 2 && window.getTotalSize() === before.current.size) onFollow(false);
    before.current = { first, size: window.getTotalSize(), top: box.scrollTop };
    if (box.scrollTop < NEAR_TOP_PX) onTop();
  };
  if (lines.length === 0) return <p className="dim">No lines.</p>;
  return (
    <div ref={scroller} className={classes.logs} tabIndex={0} role="log" aria-label="Log lines" onScroll={onScroll}>
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
