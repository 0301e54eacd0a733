// The figures, texts and files that somebody logged with the experiment: the newest version of each, older ones to choose.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { CopyButton } from "@/components/Command";
import { SelectField } from "@/components/Field";
import { Problem, Waiting } from "@/components/Notice";
import { formatBytes } from "@/lib/format";
import { useAt, useRun } from "@/lib/hub/queries";
import { fileRoute, filesQuery, pictureQuery, textQuery } from "../api/files";
import { kindOf, loggedOf, type Logged, type LoggedFile } from "../model/files";
import type { PartProps } from "../model/part";
import classes from "./Experiment.module.css";
import { SaveFile } from "./SaveFile";

export function Files({ run, row }: PartProps): ReactNode {
  const at = useAt();
  const { data: detail } = useRun(run);
  const { data, error, refetch } = useQuery(filesQuery(run, at === null && detail?.status === "running"));
  const logged = useMemo(() => loggedOf(data ?? [], row.experiment_id), [data, row.experiment_id]);
  if (data === undefined) return error === null ? <Waiting what="the files" /> : <Problem error={error} what="list of files" onRetry={() => void refetch()} />;
  if (logged.length === 0) return <p className="dim">No figures, texts or files were logged with this experiment. In a tracked loop, `run.log_figure`, `run.log_text` and `run.log_artifact` do.</p>;
  return (
    <>
      {at === null ? null : <p className="dim">Files are as they stand on the disk now, whatever event is shown.</p>}
      <div className={classes.charts}>
        {logged.map((one) => (
          <OneLogged key={one.name} run={run} experiment={row.experiment_id} logged={one} />
        ))}
      </div>
    </>
  );
}

interface OneProps {
  readonly run: string;
  readonly experiment: number;
  readonly logged: Logged;
}

function OneLogged({ run, experiment, logged: { name, versions } }: OneProps): ReactNode {
  const [chosen, setChosen] = useState<string | null>(null);
  // Until an older one is chosen, the newest is shown, also when a newer one comes.
  const file = versions.find(({ version }) => String(version) === chosen) ?? versions[0];
  if (file === undefined) return null;
  const route = fileRoute(run, experiment, file);
  return (
    <section className={classes.logged} aria-label={name}>
      <h2>{name}</h2>
      <div className={classes.tools}>
        {versions.length === 1 ? null : <SelectField label="version" value={String(file.version)} options={versions.map(({ version }) => [String(version), String(version)] as const)} onChange={setChosen} />}
        <span className={classes.file}>
          <SaveFile route={route} name={file.file} label={`Download ${file.file}, version ${file.version}`} />
          <span className="number">{formatBytes(file.numBytes)}</span>
        </span>
        <span className={classes.hash}>
          sha256 {file.sha256.slice(0, 12)}…
          <CopyButton text={file.sha256} label={`Copy the hash of ${file.file}`} />
        </span>
      </div>
      <Content route={route} file={file} name={`${name}, version ${file.version}`} />
    </section>
  );
}

function Content({ route, file, name }: { readonly route: string; readonly file: LoggedFile; readonly name: string }): ReactNode {
  const kind = kindOf(file);
  if (kind.kind === "picture") return <Picture key={route} route={route} sha256={file.sha256} type={kind.type} name={name} />;
  if (kind.kind === "text") return <Text key={route} route={route} sha256={file.sha256} />;
  return null;
}

interface ShownProps {
  readonly route: string;
  readonly sha256: string;
}

function Picture({ route, sha256, type, name }: ShownProps & { readonly type: string; readonly name: string }): ReactNode {
  const { data, error, refetch } = useQuery(pictureQuery(route, sha256, type));
  const picture = useRef<HTMLImageElement>(null);
  useEffect(() => {
    if (data === undefined || picture.current === null) return;
    const address = URL.createObjectURL(data);
    picture.current.src = address;
    return () => URL.revokeObjectURL(address);
  }, [data]);
  if (error !== null) return <Problem error={error} what="picture" onRetry={() => void refetch()} />;
  return data === undefined ? <Waiting what="the picture" /> : <img ref={picture} className={classes.picture} alt={name} />;
}

function Text({ route, sha256 }: ShownProps): ReactNode {
  const { data, error, refetch } = useQuery(textQuery(route, sha256));
  if (error !== null) return <Problem error={error} what="text" onRetry={() => void refetch()} />;
  return data === undefined ? <Waiting what="the text" /> : <pre className={classes.recorded} tabIndex={0}>{data}</pre>;
}
