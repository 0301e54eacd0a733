// Light or dark, as the system has it until somebody chooses.
import { useSyncExternalStore } from "react";
import type { Scheme } from "./colours";

const KEY = "mlboard-scheme";
const listeners = new Set<() => void>();

const current = (): Scheme => (document.documentElement.getAttribute("data-mantine-color-scheme") === "dark" ? "dark" : "light");

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useScheme(): Scheme {
  return useSyncExternalStore(subscribe, current);
}

function show(scheme: Scheme): void {
  document.documentElement.setAttribute("data-mantine-color-scheme", scheme);
  for (const listener of [...listeners]) listener();
}

export type SchemeChoice = Scheme | "system";

export function schemeChoice(): SchemeChoice {
  const stored = window.localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

const system = window.matchMedia("(prefers-color-scheme: dark)");

export function chooseScheme(choice: SchemeChoice): void {
  if (choice === "system") window.localStorage.removeItem(KEY);
  else window.localStorage.setItem(KEY, choice);
  show(choice === "system" ? (system.matches ? "dark" : "light") : choice);
}

system.addEventListener("change", () => {
  if (schemeChoice() === "system") chooseScheme("system");
});
