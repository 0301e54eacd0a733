// A dialog in the browser's own top layer: focus stays within, Escape closes, the page behind is inert.
import { useEffect, useRef, type ReactNode } from "react";
import { IconX } from "@tabler/icons-react";
import { IconButton } from "./Button";
import classes from "./Dialog.module.css";

interface Props {
  readonly title: string;
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly children: ReactNode;
  readonly isTitleHidden?: boolean;
  readonly isWide?: boolean;
}

export function Dialog({ title, isOpen, onClose, children, isTitleHidden = false, isWide = false }: Props): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && dialog.current?.open === false) dialog.current.showModal();
    if (!isOpen && dialog.current?.open === true) dialog.current.close();
  }, [isOpen]);
  return (
    <dialog
      ref={dialog}
      className={classes.dialog}
      data-wide={isWide}
      aria-label={title}
      onClose={onClose}
      onMouseDown={(event) => {
        if (event.target === dialog.current) dialog.current.close();
      }}
    >
      {isOpen ? (
        <div className={classes.body}>
          {isTitleHidden ? null : (
            <header className={classes.head}>
              <h2>{title}</h2>
              <IconButton label="Close" onClick={onClose}>
                <IconX />
              </IconButton>
            </header>
          )}
          {children}
        </div>
      ) : null}
    </dialog>
  );
}
