// Nothing is asked of another origin before it is known that it may be: see lib/endpoints.
import { useEffect, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Command } from "@/components/Command";
import { Dialog } from "@/components/Dialog";
import { Notice } from "@/components/Notice";
import { askedEndpoints, chooseOrigins, foreignOrigins, GO, settleEndpoints, whoMayAsk, type OriginChoice, type Verdict } from "@/lib/endpoints";
import classes from "./EndpointGate.module.css";

export function EndpointGate({ children }: { readonly children: ReactNode }): ReactNode {
  // The address is read once: a change of endpoints loads the page anew.
  const [asked] = useState(() => askedEndpoints(new URLSearchParams(window.location.search)));
  const [verdict, setVerdict] = useState<Verdict | null>(() => (foreignOrigins(asked).length === 0 ? GO : null));
  useEffect(() => {
    if (foreignOrigins(asked).length > 0) void whoMayAsk(asked).then(setVerdict);
  }, [asked]);
  useEffect(() => {
    if (verdict?.kind === "reload") window.location.reload();
  }, [verdict]);
  if (verdict === null || verdict.kind === "reload") return null;
  if (verdict.kind === "go") {
    settleEndpoints(asked);
    return children;
  }
  const { kind, origins } = verdict;
  const choose = (choice: OriginChoice | null): void => {
    chooseOrigins(origins, choice);
    void whoMayAsk(asked).then(setVerdict);
  };
  if (kind === "ask") return <Ask origins={origins} onChoose={choose} onLater={() => setVerdict({ kind: "denied", origins })} />;
  if (kind === "denied") return <Denied origins={origins} onAskAgain={() => choose(null)} />;
  return <Blocked origins={origins} rest={asked.rest} socket={asked.socket} />;
}

interface AskProps {
  readonly origins: readonly string[];
  readonly onChoose: (choice: OriginChoice) => void;
  readonly onLater: () => void;
}

function Ask({ origins, onChoose, onLater }: AskProps): ReactNode {
  return (
    <Dialog title="May this board read from another server?" isOpen onClose={onLater}>
      <div className={classes.ask}>
        <p>The address of this page says that runs are to be read from a server that this board does not come from:</p>
        {origins.map((origin) => (
          <p key={origin}>
            <code className={classes.origin}>{origin}</code>
          </p>
        ))}
        <p>Nothing was sent to it yet. Allow it only if you know it: it will see that you ask, and what you see here will be what it says. The answer is kept in this browser; Settings can take it back.</p>
        <p className={classes.buttons}>
          <Button look="primary" onClick={() => onChoose("allowed")}>
            Allow {origins.join(" and ")}
          </Button>
          <Button onClick={() => onChoose("denied")}>Deny</Button>
        </p>
      </div>
    </Dialog>
  );
}

const toOwnServer = (): void => window.location.assign(window.location.pathname);

function Denied({ origins, onAskAgain }: { readonly origins: readonly string[]; readonly onAskAgain: () => void }): ReactNode {
  return (
    <Notice title="That server is not asked" tone="failed">
      <p>The address of this page names {origins.join(" and ")}, which you did not allow. Nothing was sent to it.</p>
      <Button look="primary" onClick={toOwnServer}>
        Use the board’s own server
      </Button>{" "}
      <Button onClick={onAskAgain}>Ask me again</Button>
    </Notice>
  );
}

function Blocked({ origins, rest, socket }: { readonly origins: readonly string[]; readonly rest: string; readonly socket: string }): ReactNode {
  return (
    <Notice title="This board may not ask that server" tone="failed">
      <p>
        You allowed {origins.join(" and ")}, but the browser will block it: the server of this page sends a content security policy without it, or the browser keeps no cookies. Whoever starts the board can name the
        server instead:
      </p>
      <Command>{`ml_board --rest_endpoint ${rest} --ws_endpoint ${socket}`}</Command>
      <Button onClick={toOwnServer}>Use the board’s own server</Button>
    </Notice>
  );
}
