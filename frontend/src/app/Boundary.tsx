// A page that fails says so in its place, and leaves the others alone. One whose program could not be had is opened when the
// hub is back: the address says all that is needed for that.
import { Component, type ReactNode } from "react";
import { Problem } from "@/components/Notice";
import { ownAddress } from "@/lib/endpoints";
import { useConnection } from "@/lib/live/client";
import { NotLoadedError } from "./pages";

interface State {
  readonly error: Error | null;
}

export class Boundary extends Component<{ readonly children: ReactNode }, State> {
  override state: State = { error: null };
  private unsubscribe: (() => void) | null = null;

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override componentDidMount(): void {
    this.unsubscribe = useConnection.subscribe(({ state }, before) => {
      if (state === "live" && before.state !== "live" && this.state.error instanceof NotLoadedError) window.location.reload();
    });
  }

  override componentWillUnmount(): void {
    this.unsubscribe?.();
  }

  private readonly retry = (): void => {
    if (this.state.error instanceof NotLoadedError) void reloadIfThere();
    else this.setState({ error: null });
  };

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return <Problem error={error} what="page" onRetry={this.retry} />;
  }
}

/** A browser that finds no server shows a page of its own, which would be the end of this one. */
async function reloadIfThere(): Promise<void> {
  const isThere = await fetch(`${ownAddress()}/`, { method: "HEAD", cache: "no-store" }).then((answer) => answer.ok, () => false); // prettier-ignore
  if (isThere) window.location.reload();
}
