// What can be done with a run on a phone, where a line has no room for more than one button.
import { IconArrowBackUp, IconArrowRight, IconArrowsDiff, IconPencil, IconTag, IconTrash } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Dialog } from "@/components/Dialog";
import { changeView, toRun } from "@/lib/url";
import type { RunSummary } from "@/types/api";
import { useChangeRun } from "../api/changeRun";
import classes from "./Runs.module.css";

interface Props {
  readonly run: RunSummary;
  readonly isChosen: boolean;
  readonly onToggle: (run: string) => void;
  readonly onEdit: (run: RunSummary) => void;
  readonly onClose: () => void;
}

export function RunSheet({ run, isChosen, onToggle, onEdit, onClose }: Props): ReactNode {
  const change = useChangeRun();
  const closing = (action: () => void) => () => {
    onClose();
    action();
  };
  return (
    <Dialog title={run.name ?? `Run ${run.run_id}`} isOpen onClose={onClose} isSheet>
      <div className={classes.sheet}>
        {run.is_trashed ? (
          <Button look="quiet" icon={<IconArrowBackUp />} onClick={() => change.mutate({ kind: "restore", run: run.run_id }, { onSuccess: onClose })}>
            Restore
          </Button>
        ) : (
          <>
            <Button look="quiet" icon={<IconArrowRight />} onClick={closing(() => changeView(toRun(run.run_id)))}>
              Open
            </Button>
            <Button look="quiet" icon={<IconArrowsDiff />} onClick={closing(() => onToggle(run.run_id))}>
              {isChosen ? "Take out of the comparison" : "Choose to compare"}
            </Button>
            <Button look="quiet" icon={<IconPencil />} onClick={closing(() => onEdit(run))}>
              Name, tags and notes
            </Button>
            {run.tags.map((tag) => (
              <Button key={tag} look="quiet" icon={<IconTag />} onClick={closing(() => changeView({ tag }))}>
                Runs with the tag {tag}
              </Button>
            ))}
            <Trash onSure={() => change.mutate({ kind: "delete", run: run.run_id }, { onSuccess: onClose })} />
          </>
        )}
        {change.error === null ? null : (
          <p className={classes.failed} role="alert">
            {change.error.message}
          </p>
        )}
      </div>
    </Dialog>
  );
}

/** Asked for twice: a thumb hits what it did not mean. */
function Trash({ onSure }: { readonly onSure: () => void }): ReactNode {
  const [isSure, setSure] = useState(false);
  if (!isSure) {
    return (
      <Button look="quiet" icon={<IconTrash />} onClick={() => setSure(true)}>
        Delete
      </Button>
    );
  }
  return (
    <Button look="danger" icon={<IconTrash />} autoFocus onClick={onSure}>
      Yes, to the trash
    </Button>
  );
}
