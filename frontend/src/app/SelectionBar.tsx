// The selected experiments as chips: the same on every page.
import { IconX } from "@tabler/icons-react";
import { useMemo, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { scaleColour, selectionColour } from "@/lib/colours";
import { shortKeys, shortValue } from "@/lib/format";
import { useTable } from "@/lib/hub/queries";
import { useScheme } from "@/lib/scheme";
import { hide, select, toggleSelected, useSelection } from "@/lib/selection";
import { changeView, toPage } from "@/lib/url";
import classes from "./SelectionBar.module.css";

const MAX_CHIPS = 12;

export function SelectionBar({ run }: { readonly run: string }): ReactNode {
  const selection = useSelection();
  const { data } = useTable(run);
  const scheme = useScheme();
  const swept = useMemo(() => (data?.columns ?? []).filter(({ kind }) => kind === "swept").map(({ key }) => key), [data?.columns]);
  const short = useMemo(() => shortKeys(swept), [swept]);
  const hidden = [...selection.hidden];
  if (selection.ids.length === 0 && hidden.length === 0) return null;
  const describe = (id: number): string => {
    const row = data?.rows.find((one) => one.experiment_id === id);
    return swept.slice(0, 3).map((key) => `${short.get(key) ?? key} ${shortValue(row?.swept[key])}`).join(" · "); // prettier-ignore
  };
  return (
    <div className={classes.bar} role="region" aria-label="Selected experiments">
      <ul className={classes.chips}>
        {selection.ids.slice(0, MAX_CHIPS).map((id) => {
          const slot = selection.slotOf(id);
          const colour = slot === null ? scaleColour(0.5, scheme) : selectionColour(slot, scheme);
          return (
            <li key={id} className={classes.chip}>
              <span className={classes.colour} style={{ background: colour }} />
              <button type="button" title="Everything about this experiment" onClick={() => changeView(toPage("experiment", { experiment: String(id) }))}>
                <b className="number">{id}</b> <span className={classes.facts}>{describe(id)}</span>
              </button>
              <button type="button" className={classes.remove} aria-label={`Take experiment ${id} out of the selection`} onClick={() => toggleSelected(id)}>
                <IconX aria-hidden />
              </button>
            </li>
          );
        })}
        {selection.ids.length > MAX_CHIPS ? <li className="dim">and {selection.ids.length - MAX_CHIPS} more</li> : null}
      </ul>
      <div className={classes.actions}>
        {selection.ids.length === 0 ? null : (
          <>
            <Button look="quiet" isOn={selection.isOnly} onClick={() => changeView({ only: selection.isOnly ? null : "1" })}>
              Only selected
            </Button>
            <Button look="quiet" onClick={() => hide(selection.ids)}>
              Hide
            </Button>
            <Button look="quiet" onClick={() => select([])}>
              Clear
            </Button>
          </>
        )}
        {hidden.length === 0 ? null : (
          <Button look="quiet" onClick={() => changeView({ hide: null })}>
            Show {hidden.length} hidden
          </Button>
        )}
      </div>
    </div>
  );
}
