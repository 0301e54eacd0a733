// The checkpoints that stand, with sizes and hashes, each file to download.
import { Fragment, type ReactNode } from "react";
import { CopyButton } from "@/components/Command";
import { formatBytes } from "@/lib/format";
import { runRoute } from "@/lib/hub/client";
import type { CheckpointFacts } from "@/types/api";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";
import { SaveFile } from "./SaveFile";

export function Checkpoints({ run, row, detail }: PartProps): ReactNode {
  if (detail.checkpoints.length === 0) return <p className="dim">No checkpoint stands.</p>;
  return (
    <div className={classes.scroll}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">checkpoint</th>
            <th scope="col">epoch</th>
            <th scope="col">step</th>
            <th scope="col">size</th>
            <th scope="col" className={classes.left}>
              kept because
            </th>
            <th scope="col" className={classes.left}>
              sha256
            </th>
          </tr>
        </thead>
        <tbody>
          {[...detail.checkpoints].reverse().map((checkpoint) => (
            <Files key={checkpoint.path} run={run} experiment={row.experiment_id} checkpoint={checkpoint} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Files({ run, experiment, checkpoint }: { readonly run: string; readonly experiment: number; readonly checkpoint: CheckpointFacts }): ReactNode {
  const folder = checkpoint.path.split("/").at(-1) ?? "";
  // By its folder: an epoch may have several checkpoints.
  const routeOf = (name: string): string => runRoute(run, `/checkpoints/${[experiment, folder, name].map(encodeURIComponent).join("/")}`);
  return (
    <Fragment>
      <tr>
        <th scope="row">
          <b>{folder}</b>
        </th>
        <td>{checkpoint.epoch}</td>
        <td>{checkpoint.step}</td>
        <td>{formatBytes(checkpoint.num_bytes)}</td>
        <td className={classes.left}>{checkpoint.reasons.join(", ")}</td>
        <td />
      </tr>
      {Object.entries(checkpoint.files).map(([name, hash]) => (
        <tr key={name}>
          <td colSpan={5}>
            <span className={classes.file}>
              <SaveFile route={routeOf(name)} name={name} label={`Download ${name} of epoch ${checkpoint.epoch}`} />
              {name}
            </span>
          </td>
          <td className={classes.left}>
            <span className={classes.hash}>
              {hash.slice(0, 12)}…
              <CopyButton text={hash} label={`Copy the hash of ${name}`} />
            </span>
          </td>
        </tr>
      ))}
    </Fragment>
  );
}
