// Which services the board talks to, how well it hears them, and how it looks.
import { useState, type ReactNode } from "react";
import { Button } from "@/components/Button";
import { SelectField, TextField } from "@/components/Field";
import { useNow } from "@/lib/clock";
import { chooseOrigins, originChoices, ownAddress, restAddress, setToken, socketAddress, tidyAddress, token } from "@/lib/endpoints";
import { formatAge, formatCount } from "@/lib/format";
import { retryNow, useConnection } from "@/lib/live/client";
import { chooseScheme, schemeChoice, type SchemeChoice } from "@/lib/scheme";
import { addressWith } from "@/lib/url";
import classes from "./Settings.module.css";

const STATES = { off: "no run is open", connecting: "connecting", live: "connected", lost: "lost" } as const;

export function SettingsPage(): ReactNode {
  return (
    <div className={classes.page}>
      <Endpoints />
      <Access />
      <Connection />
      <Look />
      <Keys />
    </div>
  );
}

function Endpoints(): ReactNode {
  const [rest, setRest] = useState(restAddress());
  const [socket, setSocket] = useState(socketAddress());
  const [tidyRest, tidySocket] = [tidyAddress(rest), tidyAddress(socket)];
  const use = (): void => {
    const own = ownAddress();
    window.location.assign(addressWith({ rest_endpoint: tidyRest === own ? null : tidyRest, ws_endpoint: tidySocket === own ? null : tidySocket, run_id: null, page: "runs" }));
  };
  return (
    <section>
      <h2>Services</h2>
      <p className="dim">Where runs are read from. Another server than this page’s own is asked only after you say so.</p>
      <TextField label="REST" isWide value={rest} problem={tidyRest === null ? "this is no web address" : null} onChange={setRest} />
      <TextField label="live" isWide value={socket} problem={tidySocket === null ? "this is no web address" : null} onChange={setSocket} />
      <div className={classes.buttons}>
        <Button look="primary" disabled={tidyRest === null || tidySocket === null} onClick={use}>
          Use these
        </Button>
      </div>
      <Origins />
    </section>
  );
}

/** What was said about other servers, to be taken back. */
function Origins(): ReactNode {
  const [choices, setChoices] = useState(originChoices());
  const entries = Object.entries(choices);
  if (entries.length === 0) return null;
  const forget = (origin: string): void => {
    chooseOrigins([origin], null);
    setChoices(originChoices());
  };
  return (
    <ul className={classes.origins} aria-label="Other servers">
      {entries.map(([origin, choice]) => (
        <li key={origin}>
          <code>{origin}</code> <span className="dim">{choice}</span>
          <Button look="quiet" onClick={() => forget(origin)}>
            Forget
          </Button>
        </li>
      ))}
    </ul>
  );
}

function Access(): ReactNode {
  const [text, setText] = useState(token() ?? "");
  return (
    <section>
      <h2>Token</h2>
      <p className="dim">A hub that others can reach asks for one. It is kept in this tab only, and sent to the services above only.</p>
      <TextField label="token" isWide type="password" value={text} onChange={setText} />
      <div className={classes.buttons}>
        <Button
          onClick={() => {
            setToken(text);
            window.location.reload();
          }}
        >
          Use it
        </Button>
      </div>
    </section>
  );
}

function Connection(): ReactNode {
  const { state, since, reason, statistics } = useConnection();
  const now = useNow();
  return (
    <section>
      <h2>Live connection</h2>
      <dl className={classes.facts}>
        <dt>state</dt>
        <dd>
          {STATES[state]}, {formatAge(Math.max(0, now - since / 1000))}
          {reason === null ? "" : ` (${reason})`} {state === "lost" ? <Button onClick={retryNow}>Try now</Button> : null}
        </dd>
        <dt>round trip</dt>
        <dd>{statistics?.roundTripMs == null ? "–" : `${statistics.roundTripMs.toFixed(1)} ms`}</dd>
        <dt>events</dt>
        <dd>
          {formatCount(statistics?.events ?? 0)} in {formatCount(statistics?.messages ?? 0)} messages, {statistics?.eventsPerS ?? 0}/s
        </dd>
        <dt>reconnected</dt>
        <dd>{statistics?.reconnects ?? 0} times</dd>
      </dl>
    </section>
  );
}

function Look(): ReactNode {
  const [choice, setChoice] = useState<SchemeChoice>(schemeChoice());
  return (
    <section>
      <h2>Look</h2>
      <SelectField
        label="colours"
        value={choice}
        options={[["system", "as the system"], ["light", "light"], ["dark", "dark"]]}
        onChange={(value) => {
          const next = value === "light" || value === "dark" ? value : "system";
          chooseScheme(next);
          setChoice(next);
        }}
      />
    </section>
  );
} // prettier-ignore

function Keys(): ReactNode {
  const keys = [["Ctrl K", "go to anything"], ["/", "search or filter on this page"], ["1 … 7", "the pages"], ["arrows, Enter, Space", "in a table: move, open, select"], ["drag, shift-drag, double click", "in a chart: zoom x, zoom y, whole range"]] as const; // prettier-ignore
  return (
    <section>
      <h2>Keys</h2>
      <dl className={classes.facts}>
        {keys.map(([key, what]) => (
          <div key={key} className={classes.key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
