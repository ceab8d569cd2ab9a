/** React's view of the conversations: the component renders again after each change of the list. */

import { useSyncExternalStore } from "react";
import type { Conversations, ConversationsState } from "./conversations.ts";

export function useConversations(conversations: Conversations): ConversationsState {
  return useSyncExternalStore(
    (listener) => conversations.subscribe(listener),
    () => conversations.state,
  );
}
