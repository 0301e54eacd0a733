// A stack trace or what a process printed last, shown from its end, where it says what happened.
import { useLayoutEffect, useRef, type ReactNode } from "react";

export function Trace({ text }: { readonly text: string }): ReactNode {
  const box = useRef<HTMLPreElement>(null);
  useLayoutEffect(() => {
    if (box.current !== null) box.current.scrollTop = box.current.scrollHeight;
  }, [text]);
  return (
    <pre ref={box} tabIndex={0}>
      {text}
    </pre>
  );
}
