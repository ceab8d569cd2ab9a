/** Above the composer once a session is over: what happened, and the way on. */

import { CircleAlert, CircleStop, KeyRound } from "lucide-react";
import { type FormEvent, useRef } from "react";
import type { EndWords, Way } from "../lib/describe.ts";
import { Button } from "./ui/button.tsx";

/** The ways that are one press. */
type Press = Exclude<Way, "key">;

const WAY_WORDS: { readonly [way in Press]: string } = {
  anew: "Start a new agent",
  again: "Try again",
  here: "Use it here",
  retry: "Try again",
  reload: "Reload the page",
};

interface Props {
  end: EndWords;
  onWay: { readonly [way in Press]: () => void };
  /** Whether the hub did not take the key that it was given. */
  isKeyRefused: boolean;
  onKey: (key: string) => void;
}

export function EndCard({ end, onWay, isKeyRefused, onKey }: Props) {
  const Icon = iconOf(end);
  return (
    <section
      aria-label="End of the conversation"
      className="mb-2 flex animate-arrive items-center gap-3 rounded-2xl border border-line bg-surface py-3 ps-4 pe-3 shadow-sm max-sm:flex-wrap"
    >
      <Icon
        className={end.tone === "bad" ? "size-5 shrink-0 text-danger" : "size-5 shrink-0 text-subtle"}
        aria-hidden="true"
      />
      <div className="min-w-0 flex-1 basis-60 text-sm">
        <h2 className="font-medium">{end.title}</h2>
        {end.way === "key" && isKeyRefused ? (
          <p role="alert" className="text-danger">
            The hub did not take that key.
          </p>
        ) : (
          <p className="text-pretty text-subtle wrap-anywhere">{end.text}</p>
        )}
      </div>
      {end.way === "key" ? (
        <KeyForm isRefused={isKeyRefused} onKey={onKey} />
      ) : (
        <Button variant="solid" className="max-sm:w-full" onClick={onWay[end.way]}>
          {WAY_WORDS[end.way]}
        </Button>
      )}
    </section>
  );
}

function iconOf({ way, tone }: EndWords) {
  return way === "key" ? KeyRound : tone === "bad" ? CircleAlert : CircleStop;
}

function KeyForm({ isRefused, onKey }: { isRefused: boolean; onKey: (key: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const give = (event: FormEvent) => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (key !== "") {
      onKey(key);
    }
  };
  return (
    <form className="flex items-center gap-2 max-sm:w-full max-sm:flex-wrap" onSubmit={give}>
      <input
        ref={input}
        type="password"
        autoComplete="current-password"
        aria-label="The hub's key"
        aria-invalid={isRefused}
        placeholder="Key"
        className="h-8 min-w-0 flex-1 rounded-lg border border-line bg-surface px-3 text-sm outline-none focus:border-ring sm:w-52"
      />
      <Button type="submit" variant="solid">
        Open
      </Button>
    </form>
  );
}
