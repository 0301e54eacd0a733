// Numbers with sensible digits, times in local form, sizes and durations that are read at a glance.
import type { MetricValue } from "@/types/api";

export const MISSING = "–";

/** Gives a number with at most `digits` significant digits, never in a form that hides its size. */
export function formatNumber(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined) return MISSING;
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "−inf";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return sign(value.toString());
  if (size < 1e-3 || size >= 1e6) return sign(shortExponent(value.toExponential(Math.max(0, digits - 2))));
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return sign(value.toFixed(Math.min(decimals, 8)));
}

const sign = (text: string): string => text.replace(/^-/, "−");

function shortExponent(text: string): string {
  const [mantissa = "", exponent = ""] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return `${short}e${exponent.replace("+", "")}`;
}

/** Gives a metric's value as a number: what JSON cannot carry comes back as NaN or infinity; null where it is missing. */
export function numberOf(value: MetricValue | null | undefined): number | null {
  if (value === null || value === undefined) return null;
  if (value.value !== null) return value.value;
  return { nan: Number.NaN, inf: Infinity, "-inf": -Infinity }[value.non_finite ?? "nan"];
}

/** Gives a value of a config as a short text. */
export function formatValue(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return MISSING;
  if (typeof value === "number") return formatParameter(value);
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return value ? "true" : "false";
  return shortJson(value);
}

const EXACT_DIGITS = 5;

/** Gives a value of a config for the eye: numbers that were drawn at random need no more than four digits. */
export function shortValue(value: unknown): string {
  if (typeof value === "number" && digitsOf(value) > EXACT_DIGITS) return formatNumber(value);
  if (Array.isArray(value)) return `[${value.map(shortValue).join(", ")}]`;
  return formatValue(value);
}

const digitsOf = (value: number): number => value.toExponential().replace(/e.*|\D/g, "").length;

function formatParameter(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-2 || size >= 1e6) ? sign(shortExponent(value.toExponential())) : sign(String(value));
}

function shortJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(", ")}]`;
  const entries = Object.entries(value as Record<string, unknown>);
  const use = entries.find(([key]) => key === "use");
  const rest = entries.filter(([key]) => key !== "use").map(([key, one]) => `${key}: ${formatValue(one)}`);
  if (use !== undefined) return rest.length === 0 ? formatValue(use[1]) : `${formatValue(use[1])}(${rest.join(", ")})`;
  return `{${rest.join(", ")}}`;
}

export function formatDuration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return MISSING;
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${pad(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${pad(Math.floor((whole % 86_400) / 3600))}h`;
}

const pad = (value: number): string => value.toString().padStart(2, "0");

export function formatBytes(bytes: number | null | undefined): string {
  if (bytes === null || bytes === undefined) return MISSING;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [size, unit] = [bytes, 0];
  while (size >= 1000 && unit < units.length - 1) [size, unit] = [size / 1000, unit + 1];
  return `${unit === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[unit] ?? ""}`;
}

export function formatCount(count: number): string {
  return count.toLocaleString("en");
}

/** Gives so many of something, in the singular where it is one. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export function formatClock(seconds: number): string {
  return clock.format(seconds * 1000);
}

/** Gives a moment as somebody would say it now: today's by the clock, others with their day. */
export function formatMoment(seconds: number | null | undefined, now: number = Date.now() / 1000): string {
  if (seconds === null || seconds === undefined) return MISSING;
  const [moment, today] = [new Date(seconds * 1000), new Date(now * 1000)];
  if (moment.toDateString() === today.toDateString()) return formatClock(seconds);
  if (moment.getFullYear() === today.getFullYear()) return `${day.format(moment)}, ${formatClock(seconds)}`;
  return dayOfYear.format(moment);
}

export function formatWhole(seconds: number | null | undefined): string {
  return seconds === null || seconds === undefined ? MISSING : whole.format(seconds * 1000);
}

export function formatAge(seconds: number): string {
  if (seconds < 5) return "just now";
  return `${formatDuration(seconds)} ago`;
}

/** Gives the last part of a dotted key where that is enough to tell it from the others. */
export function shortKeys(keys: readonly string[]): Map<string, string> {
  const lasts = keys.map((key) => key.split(".").at(-1) ?? key);
  return new Map(
    keys.map((key, index) => {
      const last = lasts[index] ?? key;
      return [key, lasts.filter((one) => one === last).length > 1 ? key : last];
    }),
  );
}
