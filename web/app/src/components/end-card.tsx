/** What stands in the composer's place once the session is over: what happened, and the way on. */

import { CircleAlert, Plus } from "lucide-react";
import { useEffect, useRef } from "react";
import type { EndWords } from "../lib/describe.ts";
import { Mark } from "./mark.tsx";
import { Button } from "./ui/button.tsx";

interface Props {
  end: EndWords;
  onNew: () => void;
  /** Takes the session up again, where it goes on. */
  onBack: () => void;
}

export function EndCard({ end, onNew, onBack }: Props) {
  const card = useRef<HTMLElement>(null);

  // The composer took the focus with it. Not to the button: a person may be about to press Enter.
  useEffect(() => card.current?.focus(), []);

  return (
    <section
      ref={card}
      tabIndex={-1}
      role="alert"
      className="mb-3 flex animate-arrive items-center gap-4 max-sm:flex-wrap max-sm:items-start rounded-2xl border border-line bg-surface p-4 shadow-sm outline-none"
    >
      {end.tone === "bad" ? (
        <CircleAlert className="size-6 shrink-0 text-danger" aria-hidden="true" />
      ) : (
        <Mark className="size-6 shrink-0" />
      )}
      <div className="min-w-0 flex-1">
        <h2 className="font-medium">{end.title}</h2>
        <p className="text-sm text-pretty text-subtle wrap-anywhere">{end.text}</p>
      </div>
      {end.isElsewhere && (
        <Button variant="solid" size="medium" className="max-sm:w-full" onClick={onBack}>
          Use it here
        </Button>
      )}
      <Button
        variant={end.isElsewhere ? "outline" : "solid"}
        size="medium"
        className="max-sm:w-full"
        onClick={onNew}
      >
        <Plus className="size-4" aria-hidden="true" />
        New conversation
      </Button>
    </section>
  );
}
