// A dialog in the browser's own top layer: focus stays within, Escape closes, the page behind is inert.
import { useEffect, useLayoutEffect, useRef, type ReactNode } from "react";
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
  /** Whether it comes up from below on a phone, where the thumb is. */
  readonly isSheet?: boolean;
}

export function Dialog({ title, isOpen, onClose, children, isTitleHidden = false, isWide = false, isSheet = false }: Props): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (isOpen && dialog.current?.open === false) dialog.current.showModal();
    if (!isOpen && dialog.current?.open === true) dialog.current.close();
  }, [isOpen]);
  // Closed before it is taken away: only then the focus goes back to where it was.
  useLayoutEffect(() => {
    const element = dialog.current;
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      className={classes.dialog}
      data-wide={isWide}
      data-sheet={isSheet}
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
