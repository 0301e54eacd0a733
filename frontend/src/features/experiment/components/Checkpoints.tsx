// The checkpoints that stand, with sizes and hashes, each file to download.
import { IconDownload } from "@tabler/icons-react";
import { Fragment, useState, type ReactNode } from "react";
import { CopyButton } from "@/components/Command";
import { IconButton } from "@/components/Button";
import { saveBlob } from "@/lib/download";
import { token } from "@/lib/endpoints";
import { formatBytes } from "@/lib/format";
import { getBlob, routeAddress, runRoute } from "@/lib/hub/client";
import type { CheckpointFacts } from "@/types/api";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";

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
              <Download run={run} experiment={experiment} folder={folder} epoch={checkpoint.epoch} name={name} />
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

interface DownloadProps {
  readonly run: string;
  readonly experiment: number;
  readonly folder: string;
  readonly epoch: number;
  readonly name: string;
}

function Download({ run, experiment, folder, epoch, name }: DownloadProps): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  // By its folder: an epoch may have several checkpoints.
  const route = runRoute(run, `/checkpoints/${[experiment, folder, name].map(encodeURIComponent).join("/")}`);
  const save = (): void => {
    // The browser streams a plain link to the disk; a token has to go with the request, so that its answer is held first.
    if (token() === null) {
      const link = document.createElement("a");
      [link.href, link.download] = [routeAddress(route), name];
      link.click();
    } else getBlob(route).then((blob) => saveBlob(blob, name), (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)));
  };
  return (
    <>
      <IconButton label={`Download ${name} of epoch ${epoch}`} onClick={save}>
        <IconDownload />
      </IconButton>
      {problem === null ? null : <span role="alert">{problem}</span>}
    </>
  );
}
