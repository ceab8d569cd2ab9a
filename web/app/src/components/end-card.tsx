/** The card above the composer after a session has ended: the reason and the next step. */

import { CircleAlert, CircleStop, KeyRound } from "lucide-react";
import { type FormEvent, useRef } from "react";
import type { EndDescription, NextStep } from "../lib/wording/end.ts";
import { Button } from "./ui/button.tsx";

/** The next steps that need only a button. */
type ButtonStep = Exclude<NextStep, "enter_key">;

const BUTTON_LABELS: { readonly [step in ButtonStep]: string } = {
  new_agent: "Start a new agent",
  resend: "Try again",
  take_over: "Use it here",
  reconnect: "Try again",
  reload: "Reload the page",
};

interface Props {
  end: EndDescription;
  onNextStep: { readonly [step in ButtonStep]: () => void };
  /** True if the hub refused the last key. */
  isKeyRefused: boolean;
  onKey: (key: string) => void;
}

export function EndCard({ end, onNextStep, isKeyRefused, onKey }: Props) {
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
        {end.nextStep === "enter_key" && isKeyRefused ? (
          <p role="alert" className="text-danger">
            The hub refused this key.
          </p>
        ) : (
          <p className="text-pretty text-subtle wrap-anywhere">{end.text}</p>
        )}
      </div>
      {end.nextStep === "enter_key" ? (
        <KeyForm isRefused={isKeyRefused} onKey={onKey} />
      ) : (
        <Button variant="solid" className="max-sm:w-full" onClick={onNextStep[end.nextStep]}>
          {BUTTON_LABELS[end.nextStep]}
        </Button>
      )}
    </section>
  );
}

function iconOf({ nextStep, tone }: EndDescription) {
  return nextStep === "enter_key" ? KeyRound : tone === "bad" ? CircleAlert : CircleStop;
}

function KeyForm({ isRefused, onKey }: { isRefused: boolean; onKey: (key: string) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const key = input.current?.value.trim() ?? "";
    if (key !== "") {
      onKey(key);
    }
  };
  return (
    <form className="flex items-center gap-2 max-sm:w-full max-sm:flex-wrap" onSubmit={submit}>
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
