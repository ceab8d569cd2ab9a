/** The sidebar: the conversations of this tab, newest first, and the theme switch. */

import { MessageSquarePlus } from "lucide-react";
import type { KeyboardEvent } from "react";
import { CONVERSATIONS_MAX, type Conversations } from "../lib/conversations/conversations.ts";
import { useConversations } from "../lib/conversations/use-conversations.ts";
import { Mark } from "./mark.tsx";
import { SidebarItem } from "./sidebar-item.tsx";
import { ThemeSwitch } from "./theme-switch.tsx";
import { Button } from "./ui/button.tsx";

interface Props {
  conversations: Conversations;
  /** Called when the person selects or starts a conversation. */
  onSelect: () => void;
}

export function Sidebar({ conversations, onSelect }: Props) {
  const { list, shown } = useConversations(conversations);
  const isFull = list.length >= CONVERSATIONS_MAX;
  return (
    <div className="flex h-full flex-col">
      <div className="flex h-14 shrink-0 items-center gap-2 px-4">
        <Mark className="size-6" />
        <p className="font-semibold tracking-tight">Mayfly</p>
      </div>
      <div className="px-2.5 pb-2">
        <Button
          size="medium"
          className="w-full justify-start!"
          disabled={isFull}
          title={
            isFull
              ? `Limit of ${CONVERSATIONS_MAX} conversations reached. Remove one first.`
              : "New conversation (Ctrl + Shift + O)"
          }
          onClick={() => {
            conversations.begin();
            onSelect();
          }}
        >
          <MessageSquarePlus className="size-4 text-subtle" aria-hidden="true" />
          New conversation
        </Button>
      </div>
      <nav aria-label="Conversations" className="min-h-0 flex-1 overflow-y-auto px-2.5 py-1">
        <ul className="space-y-0.5" onKeyDown={moveFocus}>
          {list.map((each) => (
            <SidebarItem
              key={each.id}
              conversation={each}
              isShown={each.id === shown.id}
              onShow={() => {
                conversations.show(each.id);
                onSelect();
              }}
              onRename={(title) => conversations.rename(each.id, title)}
              onRemove={() => conversations.remove(each.id)}
            />
          ))}
        </ul>
      </nav>
      <div className="flex shrink-0 items-center justify-between gap-2 border-t border-line px-4 py-3">
        <p className="text-xs text-subtle">Kept in this tab only</p>
        <ThemeSwitch />
      </div>
    </div>
  );
}

/** Moves the focus between conversations with the arrow keys. */
function moveFocus(event: KeyboardEvent<HTMLUListElement>) {
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  const buttons = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-conversation]")];
  const at = buttons.findIndex((button) => button.matches(":focus"));
  if (step !== 0 && at !== -1) {
    event.preventDefault();
    buttons[at + step]?.focus();
  }
}
