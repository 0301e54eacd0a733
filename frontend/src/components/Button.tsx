// Buttons of one look; an icon alone always has a name that is read out and shown on hover.
import type { ButtonHTMLAttributes, ReactNode } from "react";
import classes from "./Button.module.css";

type Attributes = ButtonHTMLAttributes<HTMLButtonElement>;
type Look = "plain" | "primary" | "quiet" | "danger";

interface Props extends Attributes {
  readonly look?: Look;
  readonly isOn?: boolean;
  readonly icon?: ReactNode;
}

export function Button({ look = "plain", isOn, icon, children, className = "", ...rest }: Props): ReactNode {
  return (
    <button type="button" className={`${classes.button ?? ""} ${className}`} data-look={look} data-on={isOn ?? undefined} aria-pressed={isOn} {...rest}>
      {icon}
      {children}
    </button>
  );
}

interface IconProps extends Attributes {
  readonly label: string;
  readonly isOn?: boolean;
  readonly children: ReactNode;
}

export function IconButton({ label, isOn, children, ...rest }: IconProps): ReactNode {
  return (
    <button type="button" className={classes.icon} aria-label={label} title={label} data-on={isOn ?? undefined} aria-pressed={isOn} {...rest}>
      {children}
    </button>
  );
}
