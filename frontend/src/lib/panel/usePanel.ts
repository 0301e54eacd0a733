// A chart of curves on the page, drawn from what the worker has of them.
import { useCallback, useEffect, useRef, useState } from "react";
import { onMessage, post } from "../live/channel";
import type { PanelAsk, PanelFrame, PanelPicture, PanelSource } from "./picture";

export interface PanelState {
  /** The last one until the next is there, so that nothing flickers. */
  readonly picture: PanelPicture | null;
  readonly problem: string | null;
  /** Says what of the axes the chart shows, and how large. */
  readonly reframe: (frame: PanelFrame) => void;
}

const NO_FRAME: PanelFrame = { x: null, y: null, width: 0, height: 0, grey: [0, 0, 0] };
let numPanels = 0;

export function usePanel(source: PanelSource, ask: PanelAsk): PanelState {
  const [id] = useState(() => (numPanels += 1));
  const frame = useRef(NO_FRAME);
  const [shown, setShown] = useState<Omit<PanelState, "reframe">>({ picture: null, problem: null });
  useEffect(() => {
    const stop = onMessage((message) => {
      if (message.type === "picture" && message.panel === id) setShown({ picture: message.picture, problem: null });
      else if (message.type === "failed" && message.panel === id) setShown(({ picture }) => ({ picture, problem: message.message }));
    });
    return () => {
      stop();
      post({ type: "hide", panel: id });
    };
  }, [id]);
  useEffect(() => {
    post({ type: "show", panel: id, source, ask, frame: frame.current });
  }, [id, source, ask]);
  const reframe = useCallback(
    (next: PanelFrame) => {
      if (isSame(frame.current, next)) return;
      frame.current = next;
      post({ type: "reframe", panel: id, frame: next });
    },
    [id],
  );
  return { ...shown, reframe };
}

function isSame(a: PanelFrame, b: PanelFrame): boolean {
  const flat = ({ x, y, width, height, grey }: PanelFrame): string => [x, y, width, height, grey].join(" ");
  return flat(a) === flat(b);
}
