// A small panel that a button opens: choices that would crowd the page.
import { Popover } from "@mantine/core";
import { useState, type ReactNode } from "react";
import { Button } from "./Button";
import classes from "./Panel.module.css";

interface Props {
  readonly label: string;
  readonly icon?: ReactNode;
  readonly children: ReactNode | ((close: () => void) => ReactNode);
  readonly width?: number;
}

export function Panel({ label, icon, children, width = 280 }: Props): ReactNode {
  const [isOpen, setOpen] = useState(false);
  return (
    <Popover opened={isOpen} onChange={setOpen} position="bottom-start" width={width} trapFocus returnFocus transitionProps={{ duration: 0 }} offset={4}>
      <Popover.Target>
        <Button icon={icon} aria-haspopup="dialog" onClick={() => setOpen((open) => !open)}>
          <span className={classes.label}>{label}</span>
        </Button>
      </Popover.Target>
      <Popover.Dropdown className={classes.panel} aria-label={label}>
        {typeof children === "function" ? children(() => setOpen(false)) : children}
      </Popover.Dropdown>
    </Popover>
  );
}
