// What every part of the page of an experiment is given.
import type { ExperimentDetail, ExperimentRow, ExperimentTable } from "@/types/api";

export interface PartProps {
  readonly run: string;
  readonly row: ExperimentRow;
  readonly detail: ExperimentDetail;
  readonly table: ExperimentTable;
}
