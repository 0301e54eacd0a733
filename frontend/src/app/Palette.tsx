// Everything that can be gone to or done, found by a few letters.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import { Dialog } from "@/components/Dialog";
import { formatMoment, formatValue } from "@/lib/format";
import { tableQuery, useRunId } from "@/lib/hub/queries";
import { useRuns } from "@/lib/hub/runs";
import { chooseScheme } from "@/lib/scheme";
import { select } from "@/lib/selection";
import { changeView, toPage, toRun } from "@/lib/url";
import classes from "./Palette.module.css";
import { OF_RUN, PLACES } from "./pages";

interface Action {
  readonly id: string;
  readonly title: string;
  readonly detail: string;
  readonly kind: string;
  readonly run: () => void;
}

const MAX_SHOWN = 40;

export function Palette({ isOpen, onClose }: { readonly isOpen: boolean; readonly onClose: () => void }): ReactNode {
  return (
    <Dialog title="Go to" isOpen={isOpen} onClose={onClose} isTitleHidden>
      <Search onClose={onClose} />
    </Dialog>
  );
}

function Search({ onClose }: { readonly onClose: () => void }): ReactNode {
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const actions = useActions();
  const listId = useId();
  const list = useRef<HTMLUListElement>(null);
  const found = useMemo(() => matching(actions, text).slice(0, MAX_SHOWN), [actions, text]);
  useEffect(() => {
    list.current?.children[active]?.scrollIntoView({ block: "nearest" });
  }, [active]);
  const choose = (action: Action | undefined): void => {
    if (action === undefined) return;
    onClose();
    action.run();
  };
  const onKey = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      setActive((active + step + found.length) % Math.max(1, found.length));
    }
    if (event.key === "Enter") choose(found[active]);
  };
  return (
    <>
      <input
        className={classes.input}
        autoFocus
        value={text}
        placeholder="A run, an experiment, a page …"
        aria-label="Go to"
        role="combobox"
        aria-expanded
        aria-controls={listId}
        aria-activedescendant={found[active] === undefined ? undefined : `${listId}-${active}`}
        onKeyDown={onKey}
        onChange={(event) => {
          setText(event.target.value);
          setActive(0);
        }}
      />
      <ul id={listId} ref={list} className={classes.list} role="listbox" aria-label="Found">
        {found.map((action, i) => (
          <li
            key={action.id}
            id={`${listId}-${i}`}
            role="option"
            aria-selected={i === active}
            onMouseMove={() => setActive(i)}
            onClick={() => choose(action)}
          >
            <span className={classes.kind}>{action.kind}</span>
            <span className={classes.title}>{action.title}</span>
            <span className={classes.detail}>{action.detail}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 ? <p className="dim">Nothing is called that.</p> : null}
    </>
  );
}

function matching(actions: readonly Action[], text: string): Action[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = actions.filter(({ title, detail, kind }) => {
    const whole = `${kind} ${title} ${detail}`.toLowerCase();
    return words.every((word) => whole.includes(word));
  });
  // What is called as somebody says stands before what only has it somewhere; each kind keeps its place otherwise.
  return found.map((action) => [rankOf(action, words), action] as const).sort(([a], [b]) => a - b).map(([, action]) => action); // prettier-ignore
}

function rankOf({ title, kind, detail }: Action, words: readonly string[]): number {
  const name = title.toLowerCase();
  const own = words.filter((word) => word !== kind);
  if (own.some((word) => word === name || detail.toLowerCase().split(" ").includes(word))) return 0;
  return own.some((word) => name.startsWith(word)) ? 1 : 2;
}

function useActions(): readonly Action[] {
  const run = useRunId();
  const { data: runs } = useRuns({ limit: 200 });
  const { data: table } = useQuery({ ...tableQuery(run ?? "", null), enabled: run !== null });
  return useMemo(() => {
    const places = PLACES.filter(({ page }) => run !== null || OF_RUN[page] === undefined).map(
      ({ page, title, question }): Action => ({ id: page, kind: "page", title, detail: question, run: () => changeView(toPage(page)) }),
    );
    const others = (runs?.runs ?? []).map(
      (one): Action => ({
        id: `run ${one.run_id}`,
        kind: "run",
        title: one.name ?? one.run_id,
        detail: `${one.run_id} ${one.status} ${formatMoment(one.created_at)} ${one.tags.join(" ")}`,
        run: () => changeView(toRun(one.run_id)),
      }),
    );
    const experiments = (table?.rows ?? []).map(
      (row): Action => ({
        id: `experiment ${row.experiment_id}`,
        kind: "experiment",
        title: String(row.experiment_id),
        detail: `${row.status} ${Object.entries(row.swept).map(([key, value]) => `${key}=${formatValue(value)}`).join(" ")}`,
        run: () => changeView(toPage("experiment", { experiment: String(row.experiment_id) })),
      }),
    ); // prettier-ignore
    const doings: Action[] = [
      { id: "light", kind: "do", title: "Light colours", detail: "", run: () => chooseScheme("light") },
      { id: "dark", kind: "do", title: "Dark colours", detail: "", run: () => chooseScheme("dark") },
      { id: "system", kind: "do", title: "Colours of the system", detail: "", run: () => chooseScheme("system") },
      { id: "clear", kind: "do", title: "Clear the selection", detail: "", run: () => select([]) },
      { id: "now", kind: "do", title: "Back to the latest event", detail: "end of time travel", run: () => changeView({ at: null }) },
    ];
    return [...places, ...others, ...doings, ...experiments];
  }, [run, runs, table]);
}
