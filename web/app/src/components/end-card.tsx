/** Above the composer once a session is over: what happened, and the way on. */

import { CircleAlert, CircleStop } from "lucide-react";
import type { EndWords, Way } from "../lib/describe.ts";
import { Button } from "./ui/button.tsx";

const WAY_WORDS: { readonly [way in Way]: string } = {
  anew: "Start a new agent",
  again: "Try again",
  here: "Use it here",
  retry: "Try again",
  reload: "Reload the page",
};

interface Props {
  end: EndWords;
  onWay: { readonly [way in Way]: () => void };
}

export function EndCard({ end, onWay }: Props) {
  const Icon = end.tone === "bad" ? CircleAlert : CircleStop;
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
        <p className="text-pretty text-subtle wrap-anywhere">{end.text}</p>
      </div>
      <Button variant="solid" className="max-sm:w-full" onClick={onWay[end.way]}>
        {WAY_WORDS[end.way]}
      </Button>
    </section>
  );
}
