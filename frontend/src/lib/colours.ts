// Colours that mean something: one for each of up to eight selected experiments, one scale for more.

// After Okabe and Ito: told apart by people with any of the common colour deficiencies; darker or lighter per scheme.
const QUALITATIVE = {
  light: ["#0067a8", "#c8500a", "#007d5b", "#a8447c", "#8f6a00", "#2d8fc4", "#6b4fb0", "#6f6f6f"],
  dark: ["#4aa8ea", "#f08a4b", "#2fc79b", "#e08cbc", "#e3b23c", "#8cd0f5", "#ad96ec", "#b5b5b5"],
} as const;

// Viridis, cut where it would vanish against the page.
const VIRIDIS = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725"];
const CUT = { light: [0, 0.86], dark: [0.16, 1] } as const;

export type Scheme = "light" | "dark";
export const MAX_COLOURS = 8;

export function selectionColour(slot: number, scheme: Scheme): string {
  return QUALITATIVE[scheme][slot % MAX_COLOURS] ?? QUALITATIVE[scheme][0];
}

const channels = (hex: string): readonly [number, number, number] => [
  Number.parseInt(hex.slice(1, 3), 16),
  Number.parseInt(hex.slice(3, 5), 16),
  Number.parseInt(hex.slice(5, 7), 16),
];

/** Gives the colour at a position, 0 to 1, of the sequential scale. */
export function scaleColour(position: number, scheme: Scheme): string {
  const [low, high] = CUT[scheme];
  const at = (low + Math.min(1, Math.max(0, position)) * (high - low)) * (VIRIDIS.length - 1);
  const index = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const [from, to] = [channels(VIRIDIS[index] ?? "#000000"), channels(VIRIDIS[index + 1] ?? "#000000")];
  const mixed = from.map((value, i) => Math.round(value + ((to[i] ?? value) - value) * (at - index)));
  return `rgb(${mixed.join(" ")})`;
}

/** Gives a variable of the theme, for what is drawn on a canvas. */
export function themeColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
