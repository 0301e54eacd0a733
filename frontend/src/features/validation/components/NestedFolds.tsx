// Nested cross validation: on each outer fold the inner scores of all configurations, who won, and what the winner is
// worth on data that chose nothing.
import { Fragment, type ReactNode } from "react";
import { Status } from "@/components/Status";
import { formatNumber, MISSING, shortValue } from "@/lib/format";
import { select } from "@/lib/selection";
import type { Nested, OuterFold } from "@/lib/hub/report";
import { intervalWords } from "./Configurations";
import classes from "./Validation.module.css";

const PAD = 3;

interface Props {
  readonly nested: Nested;
  readonly inner: string;
  readonly isLow: boolean;
}

export function NestedFolds(props: Props): ReactNode {
  if (props.nested.outer_folds.length > 0) return <Folds {...props} />;
  return (
    <section>
      <h2>Outer folds</h2>
      <p className={classes.lead}>None has begun.</p>
    </section>
  );
}

function Folds({ nested, inner, isLow }: Props): ReactNode {
  const values = nested.outer_folds.flatMap((fold) => [fold.outer_score, fold.inner_score, ...fold.inner.map(({ mean }) => mean)]).filter((value): value is number => value !== null);
  const [low, high] = values.length === 0 ? [0, 1] : [Math.min(...values), Math.max(...values)];
  const x = (value: number): string => `${PAD + ((value - low) / (high - low || 1)) * (100 - 2 * PAD)}%`;
  return (
    <section>
      <h2>Outer folds</h2>
      <p className={classes.lead}>
        Each dot is a configuration on the inner folds, the ring is the one that won, the bar is the winner on the outer test fold, which chose nothing. All strips run from {formatNumber(low)} to {formatNumber(high)}.
      </p>
      <div className={classes.folds}>
        <span className={classes.head}>outer fold, winner</span>
        <span className={classes.head}>
          inner {inner}, outer {nested.metric}
        </span>
        <span className={classes.head}>inner</span>
        <span className={classes.head}>outer</span>
        {nested.outer_folds.map((fold) => (
          <Fragment key={fold.outer_fold}>
            <span>
              <button type="button" className={classes.fold} title="Select the experiments of this outer fold" aria-label={`Select the experiments of outer fold ${fold.outer_fold}`} onClick={() => select(fold.experiment_ids)}>
                {fold.outer_fold}
              </button>
              {winnerOf(fold)} {fold.status === "done" ? null : <Status status={fold.status} />}
              {fold.num_failed > 0 ? <span className={classes.failed}> {fold.num_failed} inner failed</span> : null}
            </span>
            <Strip fold={fold} x={x} />
            <span className="number">
              <small className={classes.short}>inner </small>
              {formatNumber(fold.inner_score)}
            </span>
            <b className="number">
              <small className={classes.short}>outer </small>
              {formatNumber(fold.outer_score)}
            </b>
          </Fragment>
        ))}
      </div>
      <p className={classes.final}>
        {nested.mean === null ? "No " : <b className="number">{formatNumber(nested.mean)}</b>}
        {nested.sd === null ? "" : ` ± ${formatNumber(nested.sd, 2)}`} mean {nested.metric}{nested.mean === null ? ": a score on " : " of "}{nested.outer_folds.filter(({ outer_score: score }) => score !== null).length}
        {nested.num_outer_folds === null ? "" : ` of ${nested.num_outer_folds}`} outer folds
        {nested.interval === null ? "" : `, about ${Math.round(nested.interval.confidence * 100)} % interval ${intervalWords(nested.interval)}`}.
      </p>
      <p className={classes.lead}>
        {nested.num_winners === 0 ? "" : `${nested.num_winners} ${nested.num_winners === 1 ? "configuration" : "different configurations"} won.`}{" "}
        {nested.optimism === null ? "" : `Optimism: the inner score was ${formatNumber(Math.abs(nested.optimism), 3)} ${nested.optimism >= 0 ? "better" : "worse"} than the outer one${isLow ? " (lower is better)" : ""}.`}
      </p>
    </section>
  );
}

function winnerOf(fold: OuterFold): ReactNode {
  if (fold.configuration === null) return <span className="dim">not decided</span>;
  const words = Object.entries(fold.swept).map(([key, value]) => `${key.split(".").at(-1) ?? key} ${shortValue(value)}`).join(" · "); // prettier-ignore
  return <span className="dim">{words || `configuration ${fold.configuration}`}</span>;
}

function Strip({ fold, x }: { readonly fold: OuterFold; readonly x: (value: number) => string }): ReactNode {
  const words = `outer fold ${fold.outer_fold}: inner score of the winner ${fold.inner_score === null ? MISSING : formatNumber(fold.inner_score)}, outer score ${fold.outer_score === null ? MISSING : formatNumber(fold.outer_score)}`;
  return (
    <svg className={classes.strip} role="img" aria-label={words} onClick={() => select(fold.experiment_ids)}>
      <line className={classes.base} x1="0" x2="100%" y1={19} y2={19} />
      {fold.inner.map((one) => (one.mean === null ? null : <circle key={one.configuration} className={classes.dot} cx={x(one.mean)} cy={19} r={4} />))}
      {fold.inner_score === null ? null : <circle className={classes.winner} cx={x(fold.inner_score)} cy={19} r={7.5} />}
      {fold.outer_score === null ? null : <line className={classes.outer} x1={x(fold.outer_score)} x2={x(fold.outer_score)} y1={5} y2={33} />}
    </svg>
  );
}
