/** A tool call: name, input, state and output. Weather output has a view of its own; other output is shown as JSON. */

import type { ToolPart } from "@mayfly/client/state";
import { Check, ChevronRight, CloudSun, LoaderCircle, type LucideIcon, Minus, Wrench, X } from "lucide-react";
import { inputSummary, toJson } from "../lib/content/tool.ts";
import { readWeather } from "../lib/content/weather.ts";
import { CopyButton } from "./copy-button.tsx";
import { cn } from "./ui/cn.ts";
import { Weather } from "./weather.tsx";

const ICONS: ReadonlyMap<string, LucideIcon> = new Map([["weather", CloudSun]]);

const STATES: { readonly [state in ToolPart["state"]]: { icon: LucideIcon; label: string; look: string } } = {
  input: { icon: LoaderCircle, label: "Preparing", look: "text-subtle [&>svg]:animate-spin" },
  running: { icon: LoaderCircle, label: "Running", look: "text-subtle [&>svg]:animate-spin" },
  done: { icon: Check, label: "Done", look: "text-accent" },
  failed: { icon: X, label: "Failed", look: "text-danger" },
  cut: { icon: Minus, label: "Not finished", look: "text-subtle" },
};

export function ToolCard({ part }: { part: ToolPart }) {
  const Icon = ICONS.get(part.name) ?? Wrench;
  const state = STATES[part.state];
  return (
    <figure
      aria-label={`Tool ${part.name}`}
      className="animate-arrive overflow-hidden rounded-xl border border-line bg-surface text-sm"
    >
      <details className="group">
        <summary className="flex cursor-pointer list-none items-center gap-2.5 px-4 py-3 -outline-offset-2 transition-colors hover:bg-muted/60 [&::-webkit-details-marker]:hidden">
          <Icon className="size-4 shrink-0 text-subtle" aria-hidden="true" />
          <span className="font-medium">{part.name}</span>
          <span className="min-w-0 flex-1 truncate text-subtle">
            {part.inputText === "" ? inputSummary(part.input) : part.inputText}
          </span>
          <span className={cn("flex shrink-0 items-center gap-1.5", state.look)}>
            <state.icon className="size-4" aria-hidden="true" />
            {state.label}
          </span>
          <ChevronRight
            className="size-4 shrink-0 text-subtle transition-transform group-open:rotate-90"
            aria-hidden="true"
          />
        </summary>
        <div className="space-y-3 border-t border-line px-4 pt-3 pb-4">
          {part.input === undefined ? (
            <Json label="Input" value={part.inputText} />
          ) : (
            <Json label="Input" value={part.input} />
          )}
          {part.output !== undefined && <Json label="Output" value={part.output} />}
        </div>
      </details>
      <Result part={part} />
    </figure>
  );
}

function Result({ part }: { part: ToolPart }) {
  if (part.error !== null) {
    return <p className="px-4 pb-3 text-danger wrap-anywhere">{part.error}</p>;
  }
  const weather = part.name === "weather" ? readWeather(part.output) : null;
  return weather === null ? null : <Weather weather={weather} />;
}

function Json({ label, value }: { label: string; value: unknown }) {
  const text = toJson(value);
  return (
    <div>
      <div className="flex h-7 items-center justify-between">
        <p className="text-xs text-subtle">{label}</p>
        <CopyButton text={text} what={label.toLowerCase()} size="mini" />
      </div>
      <pre
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by keyboard
        tabIndex={0}
        className="max-h-64 overflow-auto rounded-lg bg-muted px-3 py-2 font-mono text-xs leading-relaxed"
      >
        {text}
      </pre>
    </div>
  );
}
