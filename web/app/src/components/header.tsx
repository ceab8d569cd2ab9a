/** A conversation's header: title, session status, export and end. */

import { canSend, type SessionState } from "@mayfly/client/state";
import { Download, Menu, Power } from "lucide-react";
import { isEmpty } from "../lib/conversations/conversations.ts";
import { SessionStatus } from "./session-status.tsx";
import { Button, IconButton } from "./ui/button.tsx";

interface Props {
  state: SessionState;
  title: string;
  onMenu: () => void;
  onExport: () => void;
  onEnd: () => void;
}

export function Header({ state, title, onMenu, onExport, onEnd }: Props) {
  return (
    <header className="flex h-14 shrink-0 items-center gap-2 px-3 sm:px-4">
      <div className="md:hidden">
        <IconButton label="Conversations" icon={Menu} onClick={onMenu} />
      </div>
      <div className="min-w-0 flex-1">
        <h1 className="truncate px-2 text-sm leading-5 font-medium" title={title}>
          {title}
        </h1>
        <SessionStatus state={state} />
      </div>
      <IconButton label="Save as markdown" icon={Download} onClick={onExport} disabled={isEmpty(state)} />
      {canSend(state) && (
        <Button variant="ghost" onClick={onEnd} title="End the conversation and its agent">
          <Power className="size-4" aria-hidden="true" />
          End
        </Button>
      )}
    </header>
  );
}
