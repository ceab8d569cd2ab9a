/** Session states for tests. */

import type { EndReason, ErrorCode } from "@mayfly/client/protocol";
import { INITIAL, type SessionState } from "@mayfly/client/state";
import { turnOf } from "./turn.ts";

export const live: SessionState = { ...INITIAL, link: "open", session: "s_1", status: "active" };

export const running = turnOf("Hello", { phase: "waiting", outcome: null });

/** A session that has ended; an error has the message "exit status 3". */
export function over(reason: EndReason | null, code: number | null, error?: ErrorCode): SessionState {
  const failure = error === undefined ? null : { code: error, message: "exit status 3" };
  return { ...live, link: "closed", end: { reason, failure, code } };
}
