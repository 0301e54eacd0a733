// The picture of a chart as it is saved: it says by itself what it shows, and which colour is what.
import { themeColour } from "@/lib/colours";

export interface Caption {
  readonly title: string;
  readonly note: string;
  readonly legend: readonly { readonly label: string; readonly colour: string }[];
}

const FAMILY = "system-ui, sans-serif";
const [MARGIN, TITLE, LINE, SWATCH, GAP] = [12, 26, 18, 16, 14];

/** Gives the chart with its title above and its legend below, on the colour of the page. */
export function captioned(chart: HTMLCanvasElement, { title, note, legend }: Caption): HTMLCanvasElement {
  const whole = document.createElement("canvas");
  const ctx = whole.getContext("2d");
  if (ctx === null) return chart;
  const ratio = window.devicePixelRatio;
  const width = chart.width / ratio;
  ctx.font = `11px ${FAMILY}`;
  const places = placed(legend.map(({ label }) => SWATCH + 5 + ctx.measureText(label).width + GAP), width - 2 * MARGIN);
  const rows = (places.at(-1)?.row ?? -1) + 1;
  [whole.width, whole.height] = [chart.width, chart.height + Math.ceil((TITLE + rows * LINE + (rows > 0 ? 8 : 0)) * ratio)];
  ctx.fillStyle = themeColour("--paper");
  ctx.fillRect(0, 0, whole.width, whole.height);
  ctx.drawImage(chart, 0, TITLE * ratio);
  ctx.scale(ratio, ratio);
  ctx.font = `600 13px ${FAMILY}`;
  ctx.fillStyle = themeColour("--text");
  ctx.fillText(title, MARGIN, 18);
  const end = MARGIN + ctx.measureText(title).width;
  ctx.font = `11px ${FAMILY}`;
  ctx.fillStyle = themeColour("--dim");
  ctx.fillText(note, end + 10, 18);
  const top = TITLE + chart.height / ratio + 4;
  legend.forEach(({ label, colour }, i) => {
    const [x, y] = [MARGIN + (places[i]?.left ?? 0), top + (places[i]?.row ?? 0) * LINE];
    ctx.fillStyle = colour;
    ctx.fillRect(x, y + 5, SWATCH, 3);
    ctx.fillStyle = themeColour("--text");
    ctx.fillText(label, x + SWATCH + 5, y + 10);
  });
  return whole;
}

interface Place {
  readonly left: number;
  readonly row: number;
}

/** Gives where pieces of some widths stand, one after the other, in as many rows as it takes. */
export function placed(widths: readonly number[], room: number): Place[] {
  let [left, row] = [0, 0];
  return widths.map((width) => {
    if (left > 0 && left + width > room) [left, row] = [0, row + 1];
    const place = { left, row };
    left += width;
    return place;
  });
}
