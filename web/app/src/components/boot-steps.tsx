/** The agent's start, step by step, each with the time it took. */

import type { BootStep } from "@mayfly/client/state";
import { Check, LoaderCircle, X } from "lucide-react";
import { duration } from "../lib/answer.ts";
import { stepWords } from "../lib/describe.ts";

interface Props {
  steps: readonly BootStep[];
  /** Whether the session is over, so that a step that has not ended never will. */
  isOver: boolean;
}

export function BootSteps({ steps, isOver }: Props) {
  return (
    <ol aria-label="Start of the agent" className="flex flex-wrap gap-x-5 gap-y-1 text-sm text-subtle">
      {steps.map((step) => (
        <li key={step.step} className="flex animate-arrive items-center gap-1.5">
          <StepIcon isDone={step.tookMs !== null} isOver={isOver} />
          {stepWords(step, isOver)}
          {step.tookMs !== null && <span className="tabular-nums">{duration(step.tookMs)}</span>}
        </li>
      ))}
    </ol>
  );
}

function StepIcon({ isDone, isOver }: { isDone: boolean; isOver: boolean }) {
  if (isDone) {
    return <Check className="size-3.5 text-accent" aria-hidden="true" />;
  }
  return isOver ? (
    <X className="size-3.5 text-danger" role="img" aria-label="Not done:" />
  ) : (
    <LoaderCircle className="size-3.5 animate-spin" aria-hidden="true" />
  );
}
