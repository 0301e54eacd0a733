// How far the hub has read the long log of a run, whose pages wait for it: every other query of the run does.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, type ReactNode } from "react";
import { runsQuery } from "@/lib/hub/runs";
import { readingText } from "@/lib/reading";
import classes from "./Header.module.css";

/** Nearly every run is there before that, and nobody has to ask. */
const PATIENCE_MS = 1000;

export function BeingRead({ run }: { readonly run: string }): ReactNode {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, []);
  const { data } = useQuery({ ...runsQuery({ search: run }), enabled: isLate });
  const reading = data?.runs.find(({ run_id: id }) => id === run)?.reading ?? null;
  if (reading === null) return null;
  return (
    <span className={`${classes.state ?? ""} number dim`} role="status">
      {readingText(reading)}
    </span>
  );
}
