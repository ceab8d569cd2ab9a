/** The page: which conversation is shown, and the parts around it. Knows no frames, and of a session no more than it hands on. */

import { useEffect, useState, useSyncExternalStore } from "react";
import { Chat } from "./components/chat.tsx";
import { Drawer } from "./components/drawer.tsx";
import { Sidebar } from "./components/sidebar.tsx";
import { type Conversations, titleOf } from "./lib/conversations.ts";
import { useKey } from "./lib/use-key.ts";

export function App({ conversations }: { conversations: Conversations }) {
  const { shown } = useConversations(conversations);
  const [isDrawerOpen, setDrawerOpen] = useState(false);
  useTitle(conversations);
  useKey("O", { ctrl: true, shift: true }, () => conversations.begin());

  return (
    <div className="flex h-dvh">
      <aside
        aria-label="Conversations"
        className="w-sidebar shrink-0 border-e border-line bg-sunken max-md:hidden"
      >
        <Sidebar conversations={conversations} onChosen={() => {}} />
      </aside>
      {isDrawerOpen && (
        <Drawer label="Conversations" onClose={() => setDrawerOpen(false)}>
          <Sidebar conversations={conversations} onChosen={() => setDrawerOpen(false)} />
        </Drawer>
      )}
      <Chat
        key={shown.id}
        conversation={shown}
        conversations={conversations}
        onMenu={() => setDrawerOpen(true)}
      />
    </div>
  );
}

export function useConversations(conversations: Conversations) {
  return useSyncExternalStore(
    (listener) => conversations.subscribe(listener),
    () => conversations.state,
  );
}

/** The tab is called what the conversation is, with a mark while something in it is unread. */
function useTitle(conversations: Conversations) {
  const { shown, list } = useConversations(conversations);
  const isUnread = list.some((each) => each.isUnread);
  useEffect(() => {
    const name = () => {
      const title = titleOf(shown, shown.client.state);
      document.title = `${isUnread ? "• " : ""}${title} · Mayfly`;
    };
    name();
    return shown.client.subscribe(name);
  }, [shown, isUnread]);
}
