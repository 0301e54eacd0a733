// What runs off the main thread: the socket, whose events become deltas, and the columns of curves, which become
// pictures. However fast events come, the page gets one delta at a time and the next only when that one is drawn.
import { Panels } from "../panel/panels";
import type { PanelPicture } from "../panel/picture";
import { DeltaFold } from "./fold";
import { Link } from "./link";
import type { ToPage, ToWorker } from "./messages";
import { RunsLink } from "./runsLink";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const FLUSH_MS = 16;
const PANELS_A_FRAME = 3;

let fold: DeltaFold | null = null;
let isDrawing = false;
let timer: ReturnType<typeof setTimeout> | null = null;

const tell = (message: ToPage, transfer: Transferable[] = []): void => scope.postMessage(message, transfer);

const link = new Link({
  next: () => fold?.numEvents ?? 0,
  onState: (state, reason, retryAt) => {
    tell({ type: "connection", state, since: Date.now(), reason, retryAt });
    if (state === "live") panels.retry();
  },
  onStatistics: (statistics) => tell({ type: "statistics", statistics }),
  onEvents: (events) => {
    for (const event of events) fold?.add(event);
    flushSoon();
  },
});

const runsLink = new RunsLink({
  onTold: (isTold) => tell({ type: "runsTold", isTold }),
  onChanged: (runs) => tell({ type: "runsChanged", runs }),
});

const turns = new MessageChannel();
const works: (() => void)[] = [];
turns.port1.onmessage = () => works.shift()?.();

const panels = new Panels({
  onPicture: (panel, picture) => tell({ type: "picture", panel, picture }, partsOf(picture)),
  onFailed: (panel, message) => tell({ type: "failed", panel, message }),
  toBitmap,
  // Sooner than any timer, but behind the messages that are there already.
  later: (work) => {
    works.push(work);
    turns.port2.postMessage(null);
  },
});

function toBitmap(pixels: ImageDataArray, width: number, height: number): ImageBitmap {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas.transferToImageBitmap();
}

/** Gives what moves to the page without being copied; bands stay, since the next picture has them again. */
function partsOf({ lines, layer }: PanelPicture): Transferable[] {
  const columns = lines.flatMap(({ x, y, raw }) => (raw === undefined ? [x.buffer, y.buffer] : [x.buffer, y.buffer, raw.buffer]));
  return layer === null ? columns : [...columns, layer.bitmap];
}

function flush(): void {
  timer = null;
  if (isDrawing || fold === null) return;
  const delta = fold.take();
  if (delta !== null) {
    isDrawing = true;
    if (delta.historyChanged) panels.forgetLive();
    else panels.add(delta.run, delta.points);
    tell({ type: "delta", delta });
  }
  // The others follow with the next frame, whether or not more comes.
  if (panels.drawGrown(PANELS_A_FRAME) && delta === null) flushSoon();
}

function flushSoon(): void {
  if (timer === null && !isDrawing) timer = setTimeout(flush, FLUSH_MS);
}

function watch(message: Extract<ToWorker, { type: "watch" }>): void {
  if (fold !== null) unwatch();
  fold = new DeltaFold(message.run, message.from);
  panels.beginAt(message.from);
  void link.open(message);
}

function unwatch(): void {
  link.close();
  [fold, isDrawing] = [null, false];
  if (timer !== null) clearTimeout(timer);
  timer = null;
  // What nobody keeps up to date is not live.
  panels.forgetLive();
}

scope.onmessage = ({ data: message }: MessageEvent<ToWorker>): void => {
  switch (message.type) {
    case "watch":
      watch(message);
      return;
    case "unwatch":
      unwatch();
      tell({ type: "connection", state: "off", since: Date.now(), reason: null, retryAt: null });
      return;
    case "followRuns":
      void runsLink.open(message);
      return;
    case "leaveRuns":
      runsLink.close();
      return;
    case "drawn":
      isDrawing = false;
      flush();
      return;
    case "retry":
      link.retry();
      return;
    case "show":
      panels.show(message.panel, message.source, message.ask, message.frame);
      return;
    case "reframe":
      panels.reframe(message.panel, message.frame);
      return;
    case "hide":
      panels.hide(message.panel);
  }
};
