/** The steps of the agent's start with the duration of each. */

import type { BootStep } from "@mayfly/client/state";
import { Check, LoaderCircle, X } from "lucide-react";
import { duration } from "../lib/wording/figures.ts";
import { stepLabel } from "../lib/wording/status.ts";

interface Props {
  steps: readonly BootStep[];
  /** True if the session has ended, so that an open step will not complete. */
  isOver: boolean;
}

export function BootSteps({ steps, isOver }: Props) {
  return (
    <ol aria-label="Start of the agent" className="flex flex-wrap gap-x-5 gap-y-1 text-sm text-subtle">
      {steps.map((step) => (
        <li key={step.step} className="flex animate-arrive items-center gap-1.5">
          <StepIcon isDone={step.tookMs !== null} isOver={isOver} />
          {stepLabel(step, isOver)}
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
    <X className="size-3.5 text-danger" role="img" aria-label="Failed:" />
  ) : (
    <LoaderCircle className="size-3.5 animate-spin" aria-hidden="true" />
  );
}
