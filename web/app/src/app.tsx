/** The page: the list of conversations, the shown conversation and the page's title. */

import { useEffect, useState } from "react";
import { Chat } from "./components/chat.tsx";
import { Drawer } from "./components/drawer.tsx";
import { Sidebar } from "./components/sidebar.tsx";
import { useKey } from "./lib/browser/use-key.ts";
import { type Conversations, titleOf } from "./lib/conversations/conversations.ts";
import { useConversations } from "./lib/conversations/use-conversations.ts";

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
        <Sidebar conversations={conversations} onSelect={() => {}} />
      </aside>
      {isDrawerOpen && (
        <Drawer label="Conversations" onClose={() => setDrawerOpen(false)}>
          <Sidebar conversations={conversations} onSelect={() => setDrawerOpen(false)} />
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

/** Sets the tab's title to that of the shown conversation, with a mark while any conversation has unread messages. */
function useTitle(conversations: Conversations) {
  const { shown, list } = useConversations(conversations);
  const isUnread = list.some((each) => each.isUnread);
  useEffect(() => {
    const update = () => {
      const title = titleOf(shown, shown.client.state);
      document.title = `${isUnread ? "• " : ""}${title} · Mayfly`;
    };
    update();
    return shown.client.subscribe(update);
  }, [shown, isUnread]);
}
