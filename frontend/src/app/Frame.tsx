// What is around every page: header, places, selection, time travel.
import { Suspense, useEffect, useLayoutEffect, useRef, useState, type ReactNode } from "react";
import { Notice, Waiting } from "@/components/Notice";
import { useRunId } from "@/lib/hub/queries";
import { keepPlace, placeOf } from "@/lib/places";
import { changeView, toPage, usePage, useParameter } from "@/lib/url";
import { Boundary } from "./Boundary";
import { Damaged } from "./Damaged";
import classes from "./Frame.module.css";
import { Header } from "./Header";
import { loadPage, OF_RUN, OF_STORAGE, PLACES } from "./pages";
import { Palette } from "./Palette";
import { SelectionBar } from "./SelectionBar";
import { TimeTravel } from "./TimeTravel";
import { useLive } from "./useLive";

export function Frame(): ReactNode {
  const run = useRunId();
  const page = usePage();
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  useLive(run);
  useShortcuts(() => setPaletteOpen(true));
  useEffect(() => {
    const place = PLACES.find((one) => one.page === page)?.title;
    document.title = [place, run, "MLboard"].filter(Boolean).join(" · ");
  }, [page, run]);
  const main = useRef<HTMLElement>(null);
  const place = [page, run, useParameter("experiment")[0]].join(" ");
  useLayoutEffect(() => {
    if (main.current !== null) main.current.scrollTop = placeOf(place).top;
  }, [place]);
  const isOfRun = page !== "runs" && page !== "settings";
  return (
    <div className={classes.frame}>
      <a className={classes.skip} href="#page" onClick={(event) => (event.preventDefault(), document.getElementById("page")?.focus())}>
        Skip to the page
      </a>
      <Header run={run} onPalette={() => setPaletteOpen(true)} />
      <Places run={run} current={page} />
      <div className={classes.middle}>
        {isOfRun && run !== null ? <Damaged run={run} /> : null}
        {isOfRun && run !== null ? <SelectionBar run={run} /> : null}
        <main id="page" ref={main} className={classes.page} tabIndex={-1} onScroll={(event) => keepPlace(place, event.currentTarget)}>
          <Boundary key={`${page} ${run ?? ""}`}>
            <Suspense fallback={<Waiting what="the page" />}>
              <PageOf page={page} run={run} />
            </Suspense>
          </Boundary>
        </main>
      </div>
      {isOfRun && run !== null ? <TimeTravel key={run} run={run} /> : null}
      <Palette isOpen={isPaletteOpen} onClose={() => setPaletteOpen(false)} />
    </div>
  );
}

function PageOf({ page, run }: { readonly page: ReturnType<typeof usePage>; readonly run: string | null }): ReactNode {
  const [OfRun, OfStorage] = [OF_RUN[page]?.Page, OF_STORAGE[page]?.Page];
  if (OfStorage !== undefined) return <OfStorage key={page} />;
  if (OfRun !== undefined && run !== null) return <OfRun key={`${page} ${run}`} run={run} />;
  return <Notice title="No run is open">Choose one on the page of runs.</Notice>;
}

function Places({ run, current }: { readonly run: string | null; readonly current: string }): ReactNode {
  const places = PLACES.filter(({ page }) => run !== null || OF_STORAGE[page] !== undefined);
  return (
    <nav className={classes.places} aria-label="Pages">
      {places.map(({ page, title, question, Icon }) => (
        <button
          key={page}
          type="button"
          className={classes.place}
          title={question}
          aria-current={page === current ? "page" : undefined}
          onPointerEnter={() => void loadPage(page)}
          onClick={() => changeView(toPage(page))}
        >
          <Icon aria-hidden />
          <span>{title}</span>
        </button>
      ))}
    </nav>
  );
}

/** What has keys of its own: fields, and a panel above the page. */
const OWN_KEYS = "input, select, textarea, [contenteditable], [role=dialog]";

/** Tells whether a key is not meant for the page. */
const isElsewhere = ({ target }: KeyboardEvent): boolean =>
  document.querySelector("dialog[open]") !== null || (target instanceof Element && target.closest(OWN_KEYS) !== null);

/** Ctrl K for the palette, `/` for the page's search, digits for the pages. */
function useShortcuts(openPalette: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
        return;
      }
      if (isElsewhere(event) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/") {
        const search = document.querySelector<HTMLInputElement>("[data-search] input");
        if (search === null) return;
        event.preventDefault();
        search.focus();
        search.select();
      }
      const place = PLACES.find(({ key }) => key === event.key);
      if (place !== undefined) changeView(toPage(place.page));
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [openPalette]);
}
