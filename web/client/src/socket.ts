/** Where and how the hub is asked for a session: for a new one, or for one that a client has been in. */

import type { KeptSession } from "./keep.ts";
import { SUBPROTOCOL } from "./protocol.ts";
import type { SessionState } from "./state.ts";

/** What of a `WebSocket` is used. */
export type Socket = Pick<WebSocket, "onopen" | "onmessage" | "onclose" | "send" | "close">;

const TOKEN_PREFIX = "mayfly.token.";

/** With what is known of the session, so that the hub sends what is missing only. */
export function socketAddress(
  url: string,
  kept: KeptSession | null,
  ticket: string | null,
  known: Pick<SessionState, "session" | "epoch" | "head">,
): { address: string; protocols: string[] } {
  if (kept === null) {
    const credential = ticket === null ? [] : [TOKEN_PREFIX + ticket];
    return { address: url, protocols: [SUBPROTOCOL, ...credential] };
  }
  const isKnown = known.session === kept.session && known.epoch !== null;
  const query = isKnown ? `?epoch=${encodeURIComponent(known.epoch)}&after=${known.head}` : "";
  return {
    address: `${url}/${kept.session}${query}`,
    protocols: [SUBPROTOCOL, TOKEN_PREFIX + kept.token],
  };
}

export function openWebSocket(url: string, protocols: string[]): Socket {
  return new WebSocket(url, protocols);
}
