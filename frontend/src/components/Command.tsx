// A command line to copy, and a button that copies any text.
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useEffect, useState, type ReactNode } from "react";
import { IconButton } from "./Button";
import classes from "./Command.module.css";

export function CopyButton({ text, label = "Copy" }: { readonly text: string; readonly label?: string }): ReactNode {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <IconButton label={copied ? "Copied" : label} onClick={() => void copy(text).then(() => setCopied(true))}>
      {copied ? <IconCheck /> : <IconCopy />}
    </IconButton>
  );
}

/** The clipboard is for secure pages only; a hub in a lab's network often is none. */
async function copy(text: string): Promise<void> {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- the only way without a secure context
  document.execCommand("copy");
  area.remove();
}

export function Command({ children }: { readonly children: string }): ReactNode {
  return (
    <div className={classes.command}>
      <code tabIndex={0}>{children}</code>
      <CopyButton text={children} label="Copy the command" />
    </div>
  );
}
