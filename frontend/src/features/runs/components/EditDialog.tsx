// Name, tags and notes of a run, and its way into the trash.
import { useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { TextField } from "@/components/Field";
import type { RunSummary } from "@/types/api";
import { useChangeRun } from "../api/changeRun";
import classes from "./Runs.module.css";

export function EditDialog({ run, onClose }: { readonly run: RunSummary; readonly onClose: () => void }): ReactNode {
  const [name, setName] = useState(run.name ?? "");
  const [tags, setTags] = useState(run.tags.join(", "));
  const [notes, setNotes] = useState(run.notes);
  const [isSure, setSure] = useState(false);
  const change = useChangeRun();
  const split = [...new Set(tags.split(",").map((tag) => tag.trim()).filter(Boolean))]; // prettier-ignore
  return (
    <Dialog title={`Run ${run.run_id}`} isOpen onClose={onClose}>
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate({ kind: "edit", run: run.run_id, name, tags: split, notes }, { onSuccess: onClose });
        }}
      >
        <TextField label="Name" isWide value={name} onChange={setName} />
        <TextField label="Tags" isWide value={tags} placeholder="baseline, paper" onChange={setTags} />
        <label className={classes.notes}>
          <span className="dim">Notes</span>
          <textarea rows={5} value={notes} onChange={(event) => setNotes(event.target.value)} />
        </label>
        {change.error === null ? null : <p className={classes.failed} role="alert">{change.error.message}</p>}
        <div className={classes.buttons}>
          <button type="submit" className={classes.submit}>
            Save
          </button>
          <Button onClick={onClose}>Cancel</Button>
          <span className={classes.space} />
          {isSure ? (
            <Button look="danger" autoFocus onClick={() => change.mutate({ kind: "delete", run: run.run_id }, { onSuccess: onClose })}>
              Yes, to the trash
            </Button>
          ) : (
            <Button look="quiet" onClick={() => setSure(true)}>
              Delete this run
            </Button>
          )}
        </div>
      </form>
    </Dialog>
  );
} // prettier-ignore
