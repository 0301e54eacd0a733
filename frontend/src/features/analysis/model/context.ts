// What all charts of the page look at.
import type { ExperimentRow, ExperimentTable } from "@/types/api";
import type { Colouring } from "./colouring";
import type { Plan } from "./series";
import type { AnalysisView } from "./view";

export interface PanelContext {
  readonly run: string;
  readonly table: ExperimentTable;
  readonly rows: readonly ExperimentRow[];
  readonly view: AnalysisView;
  readonly plan: Plan;
  readonly colouring: Colouring;
}
