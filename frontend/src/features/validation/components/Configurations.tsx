// Folds by configurations: every score, with mean, spread and interval, and what is not there.
import { useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { formatNumber, formatValue, MISSING, shortKeys, shortValue } from "@/lib/format";
import { select } from "@/lib/selection";
import type { Configuration, Interval, Report } from "@/lib/hub/report";
import classes from "./Validation.module.css";

const FIRST = 50;
type Score = Configuration["scores"][number];

export function Configurations({ report }: { readonly report: Report }): ReactNode {
  const [isWhole, setWhole] = useState(false);
  const all = report.configurations;
  if (all.length === 0) return null;
  const shown = isWhole ? all : all.slice(0, FIRST);
  // As the config has them, whichever configuration came first.
  const inOrder = [...all].sort((a, b) => a.configuration - b.configuration);
  const keys = [...new Set(inOrder.flatMap((one) => Object.keys(one.swept)))];
  const short = shortKeys(keys);
  const heads = scoreHeads(shown);
  const values = shown.flatMap((one) => one.scores.flatMap(({ value }) => (value === null ? [] : [value])));
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const isLow = report.selection?.best === "min";
  const shade = (value: number): string => {
    const share = high === low ? 0 : (value - low) / (high - low);
    return `color-mix(in srgb, rgb(var(--heat-high)) ${Math.round((isLow ? 1 - share : share) * 65)}%, var(--paper))`;
  };
  const hasIntervals = shown.some(({ interval }) => interval !== null);
  const hasTests = shown.some(({ p_to_best: p }) => p !== null);
  return (
    <section>
      <h2>{report.nested === null ? "Configurations" : "Configurations on the inner folds"}</h2>
      <div className={classes.scroll}>
        <table className={classes.table}>
          <thead>
            <tr>
              <th scope="col">rank</th>
              {keys.map((key) => (
                <th key={key} scope="col" title={key}>
                  {short.get(key)}
                </th>
              ))}
              <th scope="col">mean ± sd</th>
              <th scope="col">n</th>
              {hasIntervals ? <th scope="col">{intervalTitle(shown)}</th> : null}
              {hasTests ? (
                <th scope="col" title="corrected t-test against the first, after Holm">
                  p to first
                </th>
              ) : null}
              {heads.map((head) => (
                <th key={head} scope="col">
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((one) => (
              <tr key={one.configuration} data-first={one.rank === 1}>
                <th scope="row">
                  <button type="button" className={classes.fold} title="Select the experiments of this configuration" aria-label={`Select the experiments of configuration ${one.configuration}, rank ${one.rank ?? "none"}`} onClick={() => select(one.scores.map((score) => score.experiment_id))}>
                    {one.rank ?? MISSING}
                  </button>
                </th>
                {keys.map((key) => (
                  <td key={key} title={formatValue(one.swept[key])}>
                    {shortValue(one.swept[key])}
                  </td>
                ))}
                <td>
                  {formatNumber(one.mean)}
                  {one.sd === null ? null : <small> ±{formatNumber(one.sd, 2)}</small>}
                </td>
                <td>
                  {one.num_scored}
                  {one.num_failed > 0 ? (
                    <span className={classes.failed} title={one.error ?? undefined}>
                      , {one.num_failed} failed
                    </span>
                  ) : null}
                </td>
                {hasIntervals ? <td>{intervalWords(one.interval)}</td> : null}
                {hasTests ? <td>{one.p_to_best === null ? MISSING : formatNumber(one.p_to_best, 2)}</td> : null}
                {heads.map((head, i) => (
                  <ScoreCell key={head} score={one.scores[i]} shade={shade} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {all.length > FIRST && !isWhole ? <Button onClick={() => setWhole(true)}>All {all.length} configurations</Button> : null}
    </section>
  );
}

const MAX_SCORES = 30;

/** Gives what the scores of each configuration are of: folds or seeds; nothing where there is one, for then it is the mean. */
function scoreHeads(configurations: readonly Configuration[]): string[] {
  const most = configurations.reduce<readonly Score[]>((longest, one) => (one.scores.length > longest.length ? one.scores : longest), []);
  if (most.length < 2) return [];
  return most.slice(0, MAX_SCORES).map((score, i) => {
    const parts = [
      score.outer_fold === null ? null : `outer ${score.outer_fold}`,
      score.repeat === null || most.every(({ repeat }) => repeat === score.repeat) ? null : `repeat ${score.repeat}`,
      score.fold === null ? null : `fold ${score.fold}`,
      score.fold === null || most.some((other) => other !== score && other.fold === score.fold && other.outer_fold === score.outer_fold && other.repeat === score.repeat) ? `seed ${score.seed ?? "?"}` : null,
    ];
    const words = parts.filter(Boolean).join(" ");
    return words === "" ? `score ${i}` : words;
  });
}

function ScoreCell({ score, shade }: { readonly score: Score | undefined; readonly shade: (value: number) => string }): ReactNode {
  if (score === undefined) return <td>{MISSING}</td>;
  const open = (): void => select([score.experiment_id]);
  return (
    <td className={classes.score} style={score.value === null ? undefined : { background: shade(score.value) }}>
      <button type="button" title={`experiment ${score.experiment_id}, ${score.status}${score.epoch === null ? "" : `, epoch ${score.epoch}`}: select it`} onClick={open}>
        {score.value === null ? <span className={score.status === "failed" ? classes.failed : undefined}>{score.status}</span> : formatNumber(score.value)}
      </button>
    </td>
  );
}

function intervalTitle(configurations: readonly Configuration[]): string {
  const interval = configurations.find((one) => one.interval !== null)?.interval;
  return interval === undefined || interval === null ? "" : `about ${Math.round(interval.confidence * 100)} %`;
}

export function intervalWords(interval: Interval | null): string {
  return interval === null ? MISSING : `${formatNumber(interval.low)} to ${formatNumber(interval.high)}`;
}
