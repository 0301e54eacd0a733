// Nothing is asked of another origin before it is known that it may be: see lib/endpoints.
import { useEffect, useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { Command } from "@/components/Command";
import { Notice } from "@/components/Notice";
import { allowedOrigins, askedEndpoints, confirmedEndpoints, setConfirmedEndpoints, settleEndpoints, whoMayAsk, type Verdict } from "@/lib/endpoints";

export function EndpointGate({ children }: { readonly children: ReactNode }): ReactNode {
  const [verdict, setVerdict] = useState<Verdict | null>(null);
  const asked = askedEndpoints(new URLSearchParams(window.location.search));
  useEffect(() => {
    void allowedOrigins(asked).then((allowed) => setVerdict(whoMayAsk(asked, allowed)));
    // The address is read once: a change of endpoints loads the page anew.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  if (verdict === null) return null;
  if (verdict.kind === "refused") return <Refused addresses={verdict.addresses} rest={asked.rest} socket={asked.socket} />;
  if (verdict.kind === "ask") {
    const confirm = (): void => {
      setConfirmedEndpoints([...confirmedEndpoints(), ...verdict.addresses]);
      setVerdict({ kind: "go" });
    };
    return <Ask addresses={verdict.addresses} onConfirm={confirm} />;
  }
  settleEndpoints(asked);
  return children;
}

function Ask({ addresses, onConfirm }: { readonly addresses: readonly string[]; readonly onConfirm: () => void }): ReactNode {
  return (
    <Notice title="Ask another server?">
      <p>The address of this page says that the runs are to be read from a server that this board does not come from:</p>
      {addresses.map((address) => (
        <p key={address}>
          <code>{address}</code>
        </p>
      ))}
      <p>Go on only if you know it. It will see that you ask, and what you see here will be what it says.</p>
      <Button look="primary" onClick={onConfirm}>
        Read from it
      </Button>{" "}
      <Button onClick={() => window.location.assign(window.location.pathname)}>Stay here</Button>
    </Notice>
  );
}

function Refused({ addresses, rest, socket }: { readonly addresses: readonly string[]; readonly rest: string; readonly socket: string }): ReactNode {
  return (
    <Notice title="This board may not ask that server" tone="failed">
      <p>The address of this page names {addresses.join(" and ")}, but whoever started the board did not, and the browser therefore blocks it. To allow it, start the board with:</p>
      <Command>{`ml_board --rest_endpoint ${rest} --ws_endpoint ${socket}`}</Command>
      <Button onClick={() => window.location.assign(window.location.pathname)}>Use the board’s own server</Button>
    </Notice>
  );
}
