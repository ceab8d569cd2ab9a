/** Where a person writes. Enter sends, Shift and Enter make a line; while the agent answers, a stop is at hand. */

import { ArrowUp, Square } from "lucide-react";
import { type KeyboardEvent, useEffect, useRef } from "react";
import { cn } from "../lib/cn.ts";
import { Button } from "./ui/button.tsx";

/** Longest message, in UTF-16 units: even as escaped JSON it stays well below what the hub reads at once. */
const MESSAGE_MAX_LENGTH = 10_000;

/**
 * What becomes of a message: it goes to the agent `now`, or `later`, once the connection is back; it begins a session
 * `anew`, or there is `none` that could take it.
 */
export type Fate = "now" | "later" | "anew" | "none";

interface Props {
  draft: string;
  onDraft: (draft: string) => void;
  fate: Fate;
  /** What the hub refused last. */
  notice: string | null;
  onSend: (text: string) => void;
  /** Null while there is nothing to stop. */
  onStop: (() => void) | null;
  /** What Enter does while there is nothing to send. */
  onEmptyEnter: (() => void) | null;
}

export function Composer({ draft, onDraft, fate, notice, onSend, onStop, onEmptyEnter }: Props) {
  const input = useRef<HTMLTextAreaElement>(null);
  const excess = draft.length - MESSAGE_MAX_LENGTH;
  const canSubmit = fate !== "none" && draft.trim() !== "" && excess <= 0;

  // On a touch screen the focus would bring up the keyboard over half the page.
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) {
      input.current?.focus();
    }
  }, []);

  // Whoever types wants to write, wherever they pressed last.
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
        {/* The hidden twin holds the same text, and so gives the field its height. */}
        <div className="grid min-w-0 flex-1">
          <div aria-hidden="true" className={cn(FIELD, "invisible overflow-hidden")}>{`${draft}\u200b`}</div>
          <textarea
            ref={input}
            rows={1}
            value={draft}
            onChange={(event) => onDraft(event.target.value)}
            onKeyDown={onKeyDown}
            placeholder={fate === "anew" ? "Message a new agent" : "Message your agent"}
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
          excess > 0 || (notice !== null && fate !== "anew")
            ? "text-danger"
            : cn("text-subtle", fate !== "anew" && "pointer-coarse:invisible"),
        )}
      >
        {hint(excess, notice, fate, onStop !== null)}
      </p>
    </form>
  );
}

const FIELD =
  "col-start-1 row-start-1 max-h-[40dvh] min-h-9 whitespace-pre-wrap px-3 py-1.5 leading-6 wrap-anywhere max-sm:text-base";

function hint(excess: number, notice: string | null, fate: Fate, isRunning: boolean): string {
  if (excess > 0) {
    return `Too long by ${excess} characters`;
  }
  if (fate === "anew") {
    return "Your next message goes to a new agent";
  }
  if (fate === "none") {
    return "Nothing can be sent from here now";
  }
  if (fate === "later") {
    return "What you send waits for the connection";
  }
  return notice ?? (isRunning ? "Esc stops the answer" : "Enter sends, Shift + Enter makes a new line");
}
