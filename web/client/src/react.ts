/** The React binding. */

import { useCallback, useSyncExternalStore } from "react";
import type { MayflyClient } from "./client.ts";
import type { SessionState } from "./state.ts";

/** Returns the client's state and renders the component after each commit. */
export function useSession(client: MayflyClient): SessionState {
  const subscribe = useCallback((listener: () => void) => client.subscribe(listener), [client]);
  const snapshot = () => client.state;
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}
