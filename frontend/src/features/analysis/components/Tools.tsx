// The controls of all charts, in one line above them.
import { IconZoomReset } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Button } from "@/components/Button";
import { CheckField, RangeField, SelectField, TextField } from "@/components/Field";
import { Panel } from "@/components/Panel";
import { shortKeys } from "@/lib/format";
import { joinNames } from "@/lib/lists";
import { columnsOf, TRIAL } from "@/lib/rowValues";
import { changeView } from "@/lib/url";
import type { ExperimentTable } from "@/types/api";
import type { AnalysisView } from "../model/view";
import classes from "./Analysis.module.css";

const AXES = [["epoch", "epoch"], ["step", "step"], ["since", "time since start"], ["time", "wall time"]] as const; // prettier-ignore
const TOPS = [["", "all"], ["5", "best 5"], ["10", "best 10"], ["20", "best 20"], ["50", "best 50"]] as const; // prettier-ignore

const set = (name: string) => (value: string) => changeView({ [name]: value }, { replace: true });

export function Tools({ view, table }: { readonly view: AnalysisView; readonly table: ExperimentTable }): ReactNode {
  const swept = columnsOf(table.columns, "swept");
  const trial = columnsOf(table.columns, "trial");
  const short = shortKeys(swept);
  const toggleLog = (axis: "x" | "y", isOn: boolean): void => {
    const [x, y] = [axis === "x" ? isOn : view.isLogX, axis === "y" ? isOn : view.isLogY];
    changeView({ log: `${x ? "x" : ""}${y ? "y" : ""}` }, { replace: true });
  };
  return (
    <div className={classes.tools} data-search>
      <TextField label="Metrics" isLabelHidden isWide type="search" value={view.match} placeholder="metrics, as a regular expression: ^val/" problem={view.matchProblem} onChange={set("match")} />
      <SelectField label="x" value={view.x} options={AXES} onChange={(value) => changeView({ x: value === "epoch" ? null : value, zoom: null }, { replace: true })} />
      <RangeField label="smooth" value={view.smoothing} min={0} max={0.98} step={0.02} onChange={(value) => set("smooth")(value === 0 ? "" : String(value))} />
      <CheckField label="log y" isOn={view.isLogY} onChange={(isOn) => toggleLog("y", isOn)} />
      <CheckField label="log x" isOn={view.isLogX} onChange={(isOn) => toggleLog("x", isOn)} />
      <CheckField label="without outliers" isOn={view.isTrimmed} onChange={(isOn) => set("trim")(isOn ? "1" : "")} />
      <MeanChoice view={view} table={table} />
      <SelectField
        label="colour"
        value={view.colourBy ?? "auto"}
        options={[["auto", "telling most"], ["", "selection"], ...swept.map((key) => [key, short.get(key) ?? key] as const), ...trial.map((key) => [key, trialName(key)] as const)]}
        onChange={(value) => changeColour(value)}
      />
      <SelectField label="show" value={view.top === null ? "" : String(view.top)} options={topsWith(view.top)} onChange={set("top")} />
      {view.zoom === null ? null : (
        <Button icon={<IconZoomReset />} onClick={() => changeView({ zoom: null }, { replace: true })}>
          Whole range
        </Button>
      )}
    </div>
  );
} // prettier-ignore

const trialName = (key: string): string => key.replace(TRIAL, "").replaceAll("_", " ");

/** Gives the choices, with the one that the address has. */
function topsWith(top: number | null): readonly (readonly [string, string])[] {
  return top === null || TOPS.some(([value]) => value === String(top)) ? TOPS : [...TOPS, [String(top), `best ${top}`]];
}

function changeColour(value: string): void {
  // An empty parameter is a choice of its own here, and would be taken out of the address.
  changeView({ colour: value === "auto" ? null : value === "" ? "selection" : value }, { replace: true });
}

function MeanChoice({ view, table }: { readonly view: AnalysisView; readonly table: ExperimentTable }): ReactNode {
  const [swept, trial] = [columnsOf(table.columns, "swept"), columnsOf(table.columns, "trial")];
  const toggle = (key: string, isOn: boolean): void => {
    const next = isOn ? [...view.average, key] : view.average.filter((one) => one !== key);
    changeView({ mean: joinNames(next) }, { replace: true });
  };
  const all = trial.filter((key) => key.endsWith("configuration"));
  return (
    <Panel label={view.average.length === 0 ? "Mean" : `Mean by ${view.average.map((key) => key.split(".").at(-1)).join(", ")}`}>
      <p className="dim">
        One curve for each combination of what is ticked: the mean over all others, such as folds and seeds, with a band of ±1 sd.
      </p>
      {[...all, ...swept, ...trial.filter((key) => !all.includes(key))].map((key) => (
        <CheckField key={key} label={trialName(key)} isOn={view.average.includes(key)} onChange={(isOn) => toggle(key, isOn)} />
      ))}
      <Button look="quiet" onClick={() => changeView({ mean: null }, { replace: true })}>
        Single curves
      </Button>
    </Panel>
  );
}
