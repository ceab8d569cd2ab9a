/** Texts for a connection that is down while the client keeps trying. Pure. */

import type { SessionState } from "@mayfly/client/state";
import { errorTitle, sentence } from "./end.ts";

export interface ConnectionProblem {
  /** The cause, as a sentence. */
  readonly cause: string;
  /** True if the hub refused the connection, as opposed to being unreachable. */
  readonly isRefused: boolean;
  /** Time until which the agent waits for this page to reconnect, in Unix milliseconds; null if there is no agent. */
  readonly agentWaitsUntilMs: number | null;
}

/** Describes the last failed attempt to connect; null if no attempt has failed or the client has given up. */
export function describeConnectionProblem(state: SessionState, isOnline: boolean): ConnectionProblem | null {
  const { failure, code } = state.end;
  if (code === null || (state.link !== "connecting" && state.link !== "reconnecting")) {
    return null;
  }
  if (failure !== null) {
    const cause =
      errorTitle(failure.code) ??
      sentence(failure.message)
        .trim()
        .replace(/[.!?]$/, "");
    return { cause: `${cause}.`, isRefused: true, agentWaitsUntilMs: null };
  }
  const cause = state.session === null ? "The hub cannot be reached." : "The connection was lost.";
  return {
    cause: isOnline ? cause : "You are offline.",
    isRefused: false,
    agentWaitsUntilMs: state.session === null ? null : state.graceEndsAtMs,
  };
}
