// The model card: what somebody who gets the model should know. Every value was recorded; what was not stays out.
import { useQuery } from "@tanstack/react-query";
import { useRef, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Problem, Waiting } from "@/components/Notice";
import { saveText } from "@/lib/download";
import { formatDuration, formatNumber, formatValue, formatWhole, MISSING, numberOf } from "@/lib/format";
import { getText, runRoute } from "@/lib/hub/client";
import { useAt } from "@/lib/hub/queries";
import type { ModelCard } from "@/types/api";
import type { PartProps } from "../model/part";
import { cardQuery } from "../api/card";
import classes from "./Experiment.module.css";

/** Of the page that is saved, which stands alone. */
const STYLE = `
  body { max-width: 56rem; margin: 2rem auto; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: #1a1f27; }
  dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.2rem 1.2rem; }
  dt { color: #566070; }
  dd { margin: 0; overflow-wrap: anywhere; }
  table { border-collapse: collapse; }
  th, td { padding: 0.25rem 1rem 0.25rem 0; border-bottom: 1px solid #dfe3e8; text-align: right; font-weight: 400; }
  th:first-child { text-align: left; }
`;

export function ModelCardPart({ run, row }: PartProps): ReactNode {
  const at = useAt();
  const { data, error, refetch } = useQuery(cardQuery(run, row.experiment_id, at));
  const card = useRef<HTMLElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  if (data === undefined) return error === null ? <Waiting what="the model card" /> : <Problem error={error} what="model card" onRetry={() => void refetch()} />;
  const name = `model-card-${run}-${row.experiment_id}`;
  const saveMarkdown = (): void => {
    const route = runRoute(run, `/experiments/${row.experiment_id}/model-card`);
    setProblem(null);
    getText(route, { format: "markdown", at }).then((text) => saveText(text, `${name}.md`, "text/markdown"), (reason: unknown) => setProblem(reason instanceof Error ? reason.message : String(reason)));
  };
  const saveHtml = (): void => {
    if (card.current === null) return;
    // The browser writes out what is on the page: text stays text.
    const body = new XMLSerializer().serializeToString(card.current);
    saveText(`<!doctype html><html lang="en"><head><meta charset="utf-8"/><title>${run} ${row.experiment_id}</title><style>${STYLE}</style></head><body>${body}</body></html>`, `${name}.html`, "text/html");
  };
  return (
    <>
      <div className={classes.tools}>
        <Button onClick={saveHtml}>Save as HTML</Button>
        <Button onClick={saveMarkdown}>Save as Markdown</Button>
        {problem === null ? null : <span role="alert">{problem}</span>}
      </div>
      <article ref={card} className={classes.card}>
        <Card card={data} />
      </article>
    </>
  );
}

function Card({ card }: { readonly card: ModelCard }): ReactNode {
  const { model, data, training } = card;
  return (
    <>
      <h1>
        {model.name ?? "Model"} of {card.run_name ?? card.run_id}, experiment {card.experiment_id}
      </h1>
      <h2>Model</h2>
      <Facts
        of={[
          ["component", model.name],
          ["parameters", model.num_parameters],
          ["trainable parameters", model.num_trainable_parameters],
          ["config", model.config],
        ]}
      />
      <h2>Data</h2>
      <Facts of={[["component", data.name], ["config", data.config], ...data.splits.map((split) => [split.name, split.num_samples === null ? null : `${split.num_samples.toLocaleString("en")} samples`] as const)]} />
      <h2>Training</h2>
      <Facts
        of={[
          ["state", training.status],
          ["epochs", training.num_epochs],
          ["steps", training.num_steps],
          ["seed", training.seed],
          ["swept", Object.keys(training.swept).length === 0 ? null : training.swept],
          ["optimizer", training.optimizer],
          ["learning rate schedule", training.lr_scheduler],
          ["loss", training.loss],
          ["batch size", training.batch_size],
          ["started", training.started_at === null ? null : formatWhole(training.started_at)],
          ["time", training.duration_s === null ? null : formatDuration(training.duration_s)],
          ["device", training.device],
          ["stopped early", training.stop_reason],
        ]}
      />
      <h2>Metrics</h2>
      {card.metrics.length === 0 ? <p>Nothing was measured.</p> : <Metrics of={card.metrics} />}
      {card.energy === null ? null : (
        <>
          <h2>Energy</h2>
          <Facts of={[["energy", card.energy.energy_kwh === null ? null : `${formatNumber(card.energy.energy_kwh)} kWh`], ["emissions", card.energy.emissions_kg === null ? null : `${formatNumber(card.energy.emissions_kg)} kg CO₂e`], ["measured by", card.energy.source]]} />
        </>
      )}
      <h2>How to get it again</h2>
      <Facts of={[["command", card.command.join(" ")], ["and compare", `mlgym reproduce ${card.run_id} --experiment ${card.experiment_id}`], ["run again", reproductionOf(card)], ["config sha256", card.config_sha256], ...Object.entries(card.versions)]} />
    </>
  );
}

function Metrics({ of }: { readonly of: ModelCard["metrics"] }): ReactNode {
  return (
    <table className={classes.table}>
      <thead>
        <tr>
          <th scope="col">metric</th>
          <th scope="col">computed on</th>
          <th scope="col">last</th>
          <th scope="col">best</th>
        </tr>
      </thead>
      <tbody>
        {of.map((metric) => (
          <tr key={`${metric.split}/${metric.metric}`}>
            <th scope="row">{metric.metric}</th>
            <td>{metric.split}</td>
            <td>{formatNumber(numberOf(metric.latest))}</td>
            <td>{metric.best === null ? MISSING : formatNumber(numberOf(metric.best))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const VERDICTS: Readonly<Record<string, string>> = { identical: "identical, bit for bit", within_tolerance: "nearly equal", diverged: "it differed" };

function reproductionOf({ reproduction: found }: ModelCard): string | null {
  if (found === null) return null;
  const where = found.epoch === null || found.verdict === "identical" ? "" : ` from epoch ${found.epoch} on`;
  return `${VERDICTS[found.verdict] ?? found.verdict}${where} (${found.num_digests} digests, run ${found.new_run_id})`;
}

function Facts({ of }: { readonly of: readonly (readonly [name: string, value: unknown])[] }): ReactNode {
  return (
    <dl className={classes.facts}>
      {of.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => (
        <Fact key={name} name={name} value={value} />
      ))}
    </dl>
  );
} // prettier-ignore

function Fact({ name, value }: { readonly name: string; readonly value: unknown }): ReactNode {
  return (
    <>
      <dt>{name}</dt>
      <dd>{typeof value === "number" ? value.toLocaleString("en") : formatValue(value)}</dd>
    </>
  );
}
