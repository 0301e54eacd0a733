// A page that fails says so in its place, and leaves the others alone.
import { Component, type ReactNode } from "react";
import { Problem } from "@/components/Notice";

interface State {
  readonly error: Error | null;
}

export class Boundary extends Component<{ readonly children: ReactNode }, State> {
  override state: State = { error: null };

  static getDerivedStateFromError(error: Error): State {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return <Problem error={error} what="page" onRetry={() => this.setState({ error: null })} />;
  }
}
