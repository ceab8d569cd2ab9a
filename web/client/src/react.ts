/** React's view of a client: the component renders again after each commit. */

import { useCallback, useSyncExternalStore } from "react";
import type { MayflyClient } from "./client.ts";
import type { SessionState } from "./state.ts";

export function useSession(client: MayflyClient): SessionState {
  const subscribe = useCallback((listener: () => void) => client.subscribe(listener), [client]);
  const snapshot = () => client.state;
  return useSyncExternalStore(subscribe, snapshot, snapshot);
}
