/** One conversation in the sidebar: title, status, and the actions rename, end and remove. */

import type { MayflyClient } from "@mayfly/client";
import { canSend, type SessionState } from "@mayfly/client/state";
import { Pencil, Power, Trash2 } from "lucide-react";
import { type KeyboardEvent, useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { flushSync } from "react-dom";
import { type Conversation, isEmpty, titleOf } from "../lib/conversations/conversations.ts";
import { describeStatus } from "../lib/wording/status.ts";
import { StatusDot } from "./status-dot.tsx";
import { Button, IconButton } from "./ui/button.tsx";
import { cn } from "./ui/cn.ts";

interface Props {
  conversation: Conversation;
  isShown: boolean;
  onShow: () => void;
  onRename: (title: string) => void;
  onRemove: () => void;
}

export function SidebarItem({ conversation, isShown, onShow, onRename, onRemove }: Props) {
  const { client, isUnread } = conversation;
  const [mode, setMode] = useState<"shown" | "renaming" | "removing">("shown");
  const button = useRef<HTMLButtonElement>(null);
  const title = useSelect(client, (state) => titleOf(conversation, state));
  const status = useSelect(client, (state) => describeStatus(state).label);
  const tone = useSelect(client, (state) => describeStatus(state).tone);
  const isLive = useSelect(client, canSend);

  const end = () => (isLive && !isEmpty(client.state) ? client.bye() : remove());
  const remove = () => (isEmpty(client.state) ? onRemove() : setMode("removing"));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "F2") {
      setMode("renaming");
    } else if (event.key === "Delete") {
      end();
    }
  };

  if (mode === "renaming") {
    return (
      <li>
        <Rename
          title={title}
          onDone={(name, isLeft) => {
            if (name !== null && name !== title) {
              onRename(name);
            }
            // Synchronous, so that the button exists and can take the focus before the next key press.
            flushSync(() => setMode("shown"));
            if (!isLeft) {
              button.current?.focus();
            }
          }}
        />
      </li>
    );
  }
  return (
    <li className="group relative">
      <button
        ref={button}
        type="button"
        data-conversation
        aria-current={isShown ? "page" : undefined}
        onClick={onShow}
        onKeyDown={onKeyDown}
        onDoubleClick={() => setMode("renaming")}
        title={`${title} (${status})`}
        className={cn(
          "flex h-9 w-full cursor-pointer items-center gap-2.5 rounded-lg ps-3 pe-3 text-start text-sm transition-colors group-focus-within:pe-18 group-hover:pe-18 pointer-coarse:pe-18",
          isShown ? "bg-raised" : "hover:bg-raised/60",
        )}
      >
        <StatusDot tone={tone} isUnread={isUnread} />
        <span className={cn("min-w-0 flex-1 truncate", isUnread && "font-semibold")}>{title}</span>
        <span className="sr-only">
          , {status}
          {isUnread ? ", unread" : ""}
        </span>
      </button>
      {mode === "removing" ? (
        <Removing onRemove={onRemove} onKeep={() => setMode("shown")} />
      ) : (
        <div className="absolute inset-y-0 end-1 flex items-center opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
          <IconButton
            label={`Rename ${title}`}
            icon={Pencil}
            size="mini"
            onClick={() => setMode("renaming")}
          />
          {isLive && !isEmpty(client.state) ? (
            <IconButton label={`End ${title}`} icon={Power} size="mini" onClick={end} />
          ) : (
            <IconButton label={`Remove ${title}`} icon={Trash2} size="mini" onClick={remove} />
          )}
        </div>
      )}
    </li>
  );
}

/** Asks for confirmation, because removing deletes the messages. */
function Removing({ onRemove, onKeep }: { onRemove: () => void; onKeep: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  return (
    <div className="absolute inset-y-0 end-1 flex items-center">
      <Button
        ref={button}
        variant="danger"
        size="tiny"
        onClick={onRemove}
        onBlur={onKeep}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.preventDefault();
            onKeep();
          }
        }}
      >
        Remove?
      </Button>
    </div>
  );
}

const TITLE_MAX_LENGTH = 80;

interface RenameProps {
  title: string;
  /** `title` is null if the person cancelled; `isLeft` says that the focus has already moved elsewhere. */
  onDone: (title: string | null, isLeft: boolean) => void;
}

function Rename({ title, onDone }: RenameProps) {
  const input = useRef<HTMLInputElement>(null);
  const isDone = useRef(false);
  const done = (name: string | null, isLeft = false) => {
    if (!isDone.current) {
      isDone.current = true;
      onDone(name, isLeft);
    }
  };
  useEffect(() => input.current?.select(), []);
  return (
    <input
      ref={input}
      aria-label="Name of the conversation"
      defaultValue={title}
      maxLength={TITLE_MAX_LENGTH}
      onBlur={(event) => done(event.target.value, true)}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.nativeEvent.isComposing) {
          done(event.currentTarget.value);
        } else if (event.key === "Escape") {
          event.preventDefault();
          done(null);
        }
      }}
      className="h-9 w-full rounded-lg border border-ring bg-surface px-3 text-sm outline-none"
    />
  );
}

/** Selects a primitive value of a client's state; the component renders only when that value changes. */
function useSelect<T extends string | boolean>(client: MayflyClient, select: (state: SessionState) => T): T {
  const subscribe = useCallback((listener: () => void) => client.subscribe(listener), [client]);
  return useSyncExternalStore(subscribe, () => select(client.state));
}
