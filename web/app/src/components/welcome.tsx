/** The empty conversation: an introduction, the agent's start and suggested messages. */

import { canSend, type SessionState } from "@mayfly/client/state";
import { BookOpen, CloudSun, type LucideIcon, Pilcrow, Scale } from "lucide-react";
import { BootSteps } from "./boot-steps.tsx";
import { Mark } from "./mark.tsx";

const SUGGESTIONS: readonly { icon: LucideIcon; text: string }[] = [
  { icon: CloudSun, text: "What is the weather in London?" },
  { icon: Scale, text: "Compare Oslo and Rome" },
  { icon: Pilcrow, text: "Show me markdown" },
  { icon: BookOpen, text: "Tell me a long story" },
];

export function Welcome({ state, onSend }: { state: SessionState; onSend: (text: string) => void }) {
  return (
    <section className="flex flex-col pt-[max(1rem,14dvh)]">
      <Mark className="-ms-1 size-12" />
      <h2 className="mt-5 text-2xl font-semibold tracking-tight text-balance">An agent of your own</h2>
      <p className="mt-2 max-w-prose text-pretty text-subtle">
        It runs only for this conversation and stops when the conversation ends. Nobody else can talk to it.
      </p>
      <div className="mt-4 min-h-5">
        <BootSteps steps={state.boot} isOver={!canSend(state)} />
      </div>
      <ul className="mt-8 grid gap-2 sm:grid-cols-2">
        {SUGGESTIONS.map(({ icon: Icon, text }) => (
          <li key={text}>
            <button
              type="button"
              onClick={() => onSend(text)}
              className="flex w-full cursor-pointer items-center gap-3 rounded-xl border border-line bg-surface px-4 py-3 text-start text-sm transition-colors hover:bg-muted"
            >
              <Icon className="size-4 shrink-0 text-subtle" aria-hidden="true" />
              {text}
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
