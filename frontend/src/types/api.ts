// Short names for what the hub answers with; generated, so that the board and the service cannot drift apart.
import type { components, operations } from "./openapi";

type Schemas = components["schemas"];

export type RunSummary = Schemas["RunSummary"];
export type RunDetail = Schemas["RunDetail"];
export type RunList = Schemas["RunList"];
export type RunMetric = Schemas["RunMetric"];
export type Counts = Schemas["Counts"];
export type ExperimentTable = Schemas["ExperimentTable"];
export type ExperimentRow = Schemas["ExperimentRow"];
export type ExperimentDetail = Schemas["ExperimentDetail"];
export type Listing = Schemas["ListingFacts"];
export type CheckpointFacts = Schemas["CheckpointFacts"];
export type Column = Schemas["Column"];
export type MetricValue = Schemas["MetricValue"];
export type MetricQuery = Schemas["MetricQuery"];
export type SystemMetrics = Schemas["SystemMetricColumns"];
export type SystemSeries = Schemas["SystemSeries"];
export type RunReproduction = Schemas["RunReproduction"];
export type LogEntry = Schemas["LogEntry"];
export type LogLines = Schemas["LogLines"];
export type Timeline = Schemas["Timeline"];
export type TimelineMark = Schemas["TimelineMark"];
export type ConfigDiff = Schemas["ConfigDiff"];
export type ModelCard = Schemas["ModelCard"];
export type ProgressFacts = Schemas["ProgressFacts"];
export type RunStatus = RunSummary["status"];
export type ExperimentStatus = ExperimentRow["status"];
export type Direction = "min" | "max";
export type RunListQuery = NonNullable<operations["listRuns"]["parameters"]["query"]>;
export type LogQuery = NonNullable<operations["getLogs"]["parameters"]["query"]>;
