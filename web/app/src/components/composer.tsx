/**
 * The message field. Enter sends, Shift + Enter inserts a line break; a stop button appears while the agent answers.
 */

import { ArrowUp, Square } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef } from "react";
import { Button } from "./ui/button.tsx";
import { cn } from "./ui/cn.ts";

/** Longest message in UTF-16 code units. As escaped JSON it stays well below the hub's frame limit. */
const MESSAGE_MAX_LENGTH = 10_000;

/** Delivery of the next message. `new_agent`: the message starts a new session. `none`: sending is disabled. */
export type Delivery = "now" | "after_reconnect" | "new_agent" | "none";

interface Props {
  draft: string;
  onDraft: (draft: string) => void;
  delivery: Delivery;
  /** The hub's last refusal. */
  notice: string | null;
  onSend: (text: string) => void;
  /** Null while no turn runs. */
  onStop: (() => void) | null;
  /** Called when Enter is pressed in the empty field. */
  onEmptyEnter: (() => void) | null;
}

export function Composer({ draft, onDraft, delivery, notice, onSend, onStop, onEmptyEnter }: Props) {
  const input = useRef<HTMLTextAreaElement>(null);
  const excess = draft.length - MESSAGE_MAX_LENGTH;
  const canSubmit = delivery !== "none" && draft.trim() !== "" && excess <= 0;

  // On a touch screen, focusing the field would open the on-screen keyboard.
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) {
      input.current?.focus();
    }
  }, []);

  // Typing anywhere on the page goes to the message field.
  useEffect(() => {
    const onKey = (event: globalThis.KeyboardEvent) => {
      const isWriting = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
      if (document.activeElement === document.body && (isWriting || event.key === "Enter")) {
        input.current?.focus();
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  const submit = () => {
    if (canSubmit) {
      onSend(draft.trim());
      onDraft("");
    } else if (draft.trim() === "") {
      onEmptyEnter?.();
    }
    input.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      submit();
    }
  };
  const stop = () => {
    onStop?.();
    input.current?.focus();
  };

  return (
    <form
      aria-label="Composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <div className="flex items-end gap-2 rounded-3xl border border-line bg-surface p-2 shadow-sm transition-colors focus-within:border-ring/60">
        {/* A hidden element with the same text determines the field's height. */}
        <div className="grid min-w-0 flex-1">
          <div aria-hidden="true" className={cn(FIELD, "invisible overflow-hidden")}>{`${draft}\u200b`}</div>
          <textarea
            ref={input}
            rows={1}
            value={draft}
            onChange={(event) => onDraft(event.target.value)}
            onKeyDown={onKeyDown}
            placeholder={delivery === "new_agent" ? "Message a new agent" : "Message your agent"}
            aria-label="Message"
            aria-describedby="composer-hint"
            enterKeyHint="send"
            className={cn(
              FIELD,
              "resize-none overflow-y-auto bg-transparent outline-none placeholder:text-subtle",
            )}
          />
        </div>
        {onStop !== null && (
          <Button size="round" onClick={stop} aria-label="Stop the answer" title="Stop (Esc)">
            <Square className="size-3.5 fill-current" aria-hidden="true" />
          </Button>
        )}
        {(onStop === null || draft.trim() !== "") && (
          <Button
            type="submit"
            variant="solid"
            size="round"
            disabled={!canSubmit}
            aria-label="Send"
            title="Send (Enter)"
          >
            <ArrowUp className="size-4.5" aria-hidden="true" />
          </Button>
        )}
      </div>
      <p
        id="composer-hint"
        className={cn(
          "mt-2 h-4 truncate text-center text-xs",
          excess > 0 || (notice !== null && delivery !== "new_agent")
            ? "text-danger"
            : cn("text-subtle", delivery !== "new_agent" && "pointer-coarse:invisible"),
        )}
      >
        {hint(excess, notice, delivery, onStop !== null)}
      </p>
    </form>
  );
}

const FIELD =
  "col-start-1 row-start-1 max-h-[40dvh] min-h-9 whitespace-pre-wrap px-3 py-1.5 leading-6 wrap-anywhere max-sm:text-base";

function hint(excess: number, notice: string | null, delivery: Delivery, isRunning: boolean): string {
  if (excess > 0) {
    return `${excess} characters too long`;
  }
  if (delivery === "new_agent") {
    return "Your next message starts a new agent";
  }
  if (delivery === "none") {
    return "Sending is not possible at the moment";
  }
  if (delivery === "after_reconnect") {
    return "Messages are sent when the connection is back";
  }
  return notice ?? (isRunning ? "Esc stops the answer" : "Enter sends, Shift + Enter inserts a line break");
}
