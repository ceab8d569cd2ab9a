/** Short texts for the state of a session: its status, its start steps and its place in line. Pure. */

import { isOver, REPLACED } from "@mayfly/client/close";
import type { Step } from "@mayfly/client/protocol";
import { type BootStep, canSend, type Line, runningTurn, type SessionState } from "@mayfly/client/state";
import { describeEnd } from "./end.ts";

export interface StatusDescription {
  readonly tone: "busy" | "ready" | "answering" | "over" | "bad";
  readonly label: string;
}

/** Labels of each step of the agent's start, while the step runs and after it. */
const STEP_LABELS: { readonly [step in Step]: { readonly running: string; readonly done: string } } = {
  queued: { running: "Waiting in line", done: "Waited in line" },
  claiming: { running: "Taking a warm agent", done: "Warm agent taken" },
  starting: { running: "Starting the agent", done: "Agent started" },
  probing: { running: "Waiting until it is ready", done: "Agent ready" },
};

/** Labels a step of the agent's start. `isOver` says that the session has ended, so the step will not complete. */
export function stepLabel({ step, tookMs }: BootStep, isOver: boolean): string {
  // A newer hub may have steps that this page does not know.
  const { running, done } = (STEP_LABELS as Partial<typeof STEP_LABELS>)[step] ?? {
    running: step,
    done: step,
  };
  return tookMs !== null ? done : `${running}${isOver ? "" : "…"}`;
}

/** Describes the session's status for the header and the list of conversations. */
export function describeStatus(state: SessionState): StatusDescription {
  if (!canSend(state)) {
    const end = describeEnd(state);
    return end === null ? { tone: "busy", label: "Ending" } : { tone: end.tone, label: endLabel(state) };
  }
  if (state.link === "reconnecting") {
    return { tone: "busy", label: "Reconnecting…" };
  }
  if (state.status === "active" || state.status === "idle") {
    return runningTurn(state) === null
      ? { tone: "ready", label: "Ready" }
      : { tone: "answering", label: "Answering" };
  }
  if (state.line !== null) {
    return { tone: "busy", label: placeLabel(state.line) };
  }
  if (state.link === "connecting" && state.end.failure !== null) {
    return { tone: "busy", label: "Waiting for the hub…" };
  }
  return { tone: "busy", label: state.status === "creating" ? "Starting an agent…" : "Connecting…" };
}

/** Tells a person in line their place; null if the client is not in line. */
export function describeLine({ line }: SessionState): string | null {
  if (line === null) {
    return null;
  }
  const place = line.position === 1 ? "You are next in line." : `You are number ${line.position} in line.`;
  return `All agents are in use. ${place}`;
}

function placeLabel({ position }: Line): string {
  return position === 1 ? "Next in line" : `Number ${position} in line`;
}

function endLabel(state: SessionState): string {
  const { reason, code } = state.end;
  if (state.link === "idle") {
    return "Ended";
  }
  if (code === REPLACED) {
    return "In another tab";
  }
  if (reason !== null || (state.session !== null && code !== null && isOver(code))) {
    return "Ended";
  }
  return state.session === null ? "Not connected" : "Disconnected";
}
