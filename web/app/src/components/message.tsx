/** A person's message: its delivery state and the actions copy, edit and resend. */

import type { Turn } from "@mayfly/client/state";
import { Pencil } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";
import { CopyButton } from "./copy-button.tsx";
import { Button, IconButton } from "./ui/button.tsx";
import { cn } from "./ui/cn.ts";

interface Props {
  turn: Turn;
  isRunning: boolean;
  onSend: (text: string) => void;
  onStop: (turn: string) => void;
}

export function MessageView({ turn, isRunning, onSend, onStop }: Props) {
  const [isEditing, setEditing] = useState(false);
  const isQueued = turn.phase === "waiting" && !isRunning && turn.position > 0;
  if (isEditing) {
    return <Edit text={turn.text} onSend={onSend} onClose={() => setEditing(false)} />;
  }
  return (
    <div className="group flex animate-arrive flex-col items-end gap-1.5">
      <h2 className="sr-only">Your message</h2>
      <div className="flex w-full items-center justify-end gap-1">
        {turn.phase === "done" && turn.outcome !== "refused" && (
          <div className="flex shrink-0 opacity-0 transition-opacity group-focus-within:opacity-100 group-hover:opacity-100 pointer-coarse:opacity-100">
            <CopyButton text={turn.text} what="message" size="mini" />
            <IconButton
              label="Edit and send again"
              icon={Pencil}
              size="mini"
              onClick={() => setEditing(true)}
            />
          </div>
        )}
        <p
          className={cn(
            "min-w-0 whitespace-pre-wrap rounded-2xl rounded-ee-md bg-muted px-4 py-2.5 leading-relaxed wrap-anywhere transition-opacity",
            (turn.phase === "sending" || isQueued) && "opacity-75",
          )}
        >
          {turn.text}
        </p>
      </div>
      {isQueued && turn.turn !== null && (
        <p className="flex gap-2 text-xs text-subtle">
          {turn.position === 1 ? "Next in line" : `${turn.position} messages before it`}
          <Button variant="link" size="inline" onClick={() => turn.turn !== null && onStop(turn.turn)}>
            Cancel
          </Button>
        </p>
      )}
      {turn.outcome === "refused" && (
        <p className="flex gap-2 text-xs text-danger">
          Not sent: {turn.error?.message}
          <Button variant="link" size="inline" onClick={() => onSend(turn.text)}>
            Send again
          </Button>
        </p>
      )}
    </div>
  );
}

interface EditProps {
  text: string;
  onSend: (text: string) => void;
  onClose: () => void;
}

/** The editor for an answered message. It sends a new message and leaves the original as it is. */
function Edit({ text, onSend, onClose }: EditProps) {
  const [draft, setDraft] = useState(text);
  const input = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    input.current?.focus();
    input.current?.setSelectionRange(text.length, text.length);
  }, [text]);

  const send = () => {
    if (draft.trim() !== "") {
      onSend(draft.trim());
      onClose();
    }
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape") {
      event.preventDefault();
      onClose();
    }
  };
  return (
    <form
      aria-label="Edit the message"
      className="animate-arrive rounded-2xl border border-line bg-surface p-3 shadow-sm focus-within:border-ring/60"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={input}
        aria-label="Edited message"
        aria-describedby="edit-note"
        value={draft}
        onChange={(event) => setDraft(event.target.value)}
        onKeyDown={onKeyDown}
        className="field-sizing-content max-h-[40dvh] min-h-12 w-full resize-none bg-transparent px-1 leading-relaxed outline-none"
      />
      <div className="mt-2 flex flex-wrap items-center justify-end gap-2">
        <p id="edit-note" className="me-auto px-1 text-xs text-pretty text-subtle">
          Sent as a new message at the end. The messages below stay, and the agent remembers them.
        </p>
        <Button variant="ghost" onClick={onClose}>
          Cancel
        </Button>
        <Button variant="solid" type="submit" disabled={draft.trim() === ""}>
          Send
        </Button>
      </div>
    </form>
  );
}
