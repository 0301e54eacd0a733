// Inputs with their names beside them.
import { useId, type ReactNode } from "react";
import classes from "./Field.module.css";

interface SelectProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
}

export function SelectField({ label, value, options, onChange }: SelectProps): ReactNode {
  return (
    <label className={classes.field}>
      <span className={classes.label}>{label}</span>
      <select className={classes.input} value={value} onChange={(event) => onChange(event.target.value)}>
        {options.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

interface TextProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly placeholder?: string;
  readonly problem?: string | null;
  readonly isWide?: boolean;
  readonly isLabelHidden?: boolean;
  readonly id?: string;
  readonly type?: "text" | "search" | "password";
}

export function TextField({ label, value, onChange, problem = null, isWide = false, isLabelHidden = false, ...rest }: TextProps): ReactNode {
  const problemId = useId();
  return (
    <label className={classes.field} data-wide={isWide}>
      <span className={isLabelHidden ? "visually-hidden" : classes.label}>{label}</span>
      <input
        className={classes.input}
        value={value}
        spellCheck={false}
        autoComplete="off"
        aria-invalid={problem !== null}
        aria-describedby={problem === null ? undefined : problemId}
        onChange={(event) => onChange(event.target.value)}
        {...rest}
      />
      {problem === null ? null : (
        <span id={problemId} className={classes.problem} role="alert">
          {problem}
        </span>
      )}
    </label>
  );
}

interface CheckProps {
  readonly label: string;
  readonly isOn: boolean;
  readonly onChange: (isOn: boolean) => void;
}

export function CheckField({ label, isOn, onChange }: CheckProps): ReactNode {
  return (
    <label className={classes.check}>
      <input type="checkbox" checked={isOn} onChange={(event) => onChange(event.target.checked)} />
      {label}
    </label>
  );
}

interface RangeProps {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onChange: (value: number) => void;
}

export function RangeField({ label, value, onChange, ...bounds }: RangeProps): ReactNode {
  return (
    <label className={classes.field}>
      <span className={classes.label}>{label}</span>
      <input className={classes.range} type="range" value={value} onChange={(event) => onChange(Number(event.target.value))} {...bounds} />
      <span className={`${classes.value ?? ""} number`} aria-hidden>
        {value}
      </span>
    </label>
  );
}
