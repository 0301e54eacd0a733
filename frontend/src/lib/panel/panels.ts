// The charts that are on the page, in the worker: which curves each shows, and a new picture whenever that changes.
import type { Points } from "../live/delta";
import { pictureOf, shapeOf, type Shape } from "./draw";
import type { PanelAsk, PanelFrame, PanelPicture, PanelSource } from "./picture";
import { CurveStore, nameOf } from "./store";

interface Panel {
  source: PanelSource;
  name: string;
  ask: PanelAsk;
  frame: PanelFrame;
  /** As of the curves and the ask that it was made of; null where those changed. */
  shape: Shape | null;
}

/** Where pictures go. */
export interface PanelListener {
  readonly onPicture: (id: number, picture: PanelPicture) => void;
  readonly onFailed: (id: number, message: string) => void;
  readonly toBitmap: (pixels: ImageDataArray, width: number, height: number) => ImageBitmap;
  /** Calls a function when other messages have been taken in. */
  readonly later: (work: () => void) => void;
}

export class Panels {
  readonly store: CurveStore;
  private readonly panels = new Map<number, Panel>();
  private readonly waiting = new Set<number>();
  private readonly failed = new Set<number>();
  /** Those whose curves have grown; they take turns. */
  private readonly grown = new Set<number>();

  constructor(private readonly listener: PanelListener) {
    this.store = new CurveStore({
      onLoaded: (name) => this.renew([name]),
      onFailed: (name, message) => {
        for (const id of this.showing([name])) {
          this.failed.add(id);
          listener.onFailed(id, message);
        }
      },
      isShown: (name) => this.showing([name]).length > 0,
    });
  }

  show(id: number, source: PanelSource, ask: PanelAsk, frame: PanelFrame): void {
    this.panels.set(id, { source, name: nameOf(source), ask, frame, shape: null });
    this.failed.delete(id);
    this.store.tidy();
    this.drawSoon(id);
  }

  /** Shows another part of the axes, or in another size. */
  reframe(id: number, frame: PanelFrame): void {
    const panel = this.panels.get(id);
    if (panel === undefined) return;
    panel.frame = frame;
    this.drawSoon(id);
  }

  hide(id: number): void {
    this.panels.delete(id);
    this.waiting.delete(id);
    this.failed.delete(id);
    this.grown.delete(id);
    this.store.tidy();
  }

  /** Takes in what was measured since; what grew is drawn when `drawGrown` is called. */
  add(run: string, points: readonly Points[]): void {
    const names = this.store.add(run, points);
    if (names.length === 0) return;
    const keys = new Set(points.map(({ key }) => key));
    for (const id of this.showing(names)) if (keys.has(this.panels.get(id)?.ask.key ?? "")) this.grown.add(id);
  }

  /** Draws at most so many of those that have grown, the longest waiting first; tells whether others are left. */
  drawGrown(count: number): boolean {
    for (const id of [...this.grown].slice(0, count)) {
      this.grown.delete(id);
      const panel = this.panels.get(id);
      if (panel !== undefined) panel.shape = null;
      this.draw(id);
    }
    return this.grown.size > 0;
  }

  /** Takes in what comes from an event on. */
  beginAt(event: number): void {
    this.renew(this.store.beginAt(event));
  }

  /** Asks for live curves anew. */
  forgetLive(): void {
    this.renew(this.store.forgetLive());
  }

  /** Asks again for what could not be had. */
  retry(): void {
    const failed = [...this.failed];
    this.failed.clear();
    for (const id of failed) this.drawSoon(id);
  }

  private showing(names: Iterable<string>): number[] {
    const wanted = new Set(names);
    return [...this.panels].filter(([, { name }]) => wanted.has(name)).map(([id]) => id);
  }

  private renew(names: Iterable<string>): void {
    for (const id of this.showing(names)) {
      const panel = this.panels.get(id);
      if (panel !== undefined) panel.shape = null;
      this.drawSoon(id);
    }
  }

  /** One panel at a time: what is asked meanwhile, such as the next step of a slider, replaces what waits. */
  private drawSoon(id: number): void {
    this.waiting.add(id);
    if (this.waiting.size === 1) this.listener.later(() => this.drawNext());
  }

  private drawNext(): void {
    const [id] = this.waiting;
    if (id === undefined) return;
    this.draw(id);
    this.waiting.delete(id);
    if (this.waiting.size > 0) this.listener.later(() => this.drawNext());
  }

  private draw(id: number): void {
    const panel = this.panels.get(id);
    if (panel === undefined) return;
    const { source, ask, frame } = panel;
    const set = this.store.get(source);
    // Until its size is known there is nothing to draw, but the curves are on their way.
    if (set === null || frame.width === 0) return;
    panel.shape ??= shapeOf(set.byKey.get(ask.key) ?? new Map(), ask);
    this.listener.onPicture(id, pictureOf(panel.shape, ask, frame, this.listener.toBitmap));
  }
}
