// The providers around everything.
import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { HubError } from "@/lib/hub/client";
import { useScheme } from "@/lib/scheme";
import { EndpointGate } from "./EndpointGate";
import { Frame } from "./Frame";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // A hub that restarts is back within seconds; what it refuses it refuses again.
      retry: (failures, error) => failures < 3 && !(error instanceof HubError && error.status !== null && error.status < 500),
      retryDelay: (failures) => Math.min(4000, 500 * 2 ** failures),
    },
  },
});

const chosenByUs = { get: () => "light" as const, set: nothing, subscribe: nothing, unsubscribe: nothing, clear: nothing };

function nothing(): void {
  // The scheme is kept in lib/scheme, where it is set before the first paint.
}

export function App(): ReactNode {
  // The style sheets hold all variables: a content security policy lets no inline style in.
  return (
    <MantineProvider withCssVariables={false} withGlobalClasses={false} forceColorScheme={useScheme()} colorSchemeManager={chosenByUs}>
      <QueryClientProvider client={client}>
        <EndpointGate>
          <Frame />
        </EndpointGate>
      </QueryClientProvider>
    </MantineProvider>
  );
}
