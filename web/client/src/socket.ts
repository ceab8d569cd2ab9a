/** The address and subprotocols with which a client requests a new session or resumes an old one. */

import { SUBPROTOCOL } from "./protocol.ts";
import type { SessionState } from "./state.ts";
import type { StoredSession } from "./tab-storage.ts";

/** The part of `WebSocket` that the client uses. */
export type Socket = Pick<WebSocket, "onopen" | "onmessage" | "onclose" | "send" | "close">;

const TOKEN_PREFIX = "mayfly.token.";

/**
 * Builds the address and subprotocols for the next socket. `known` tells the hub which frames the client already has,
 * so that it sends only the missing ones.
 */
export function socketAddress(
  url: string,
  stored: StoredSession | null,
  ticket: string | null,
  known: Pick<SessionState, "session" | "epoch" | "head">,
): { address: string; protocols: string[] } {
  if (stored === null) {
    const credential = ticket === null ? [] : [TOKEN_PREFIX + ticket];
    return { address: url, protocols: [SUBPROTOCOL, ...credential] };
  }
  const isKnown = known.session === stored.session && known.epoch !== null;
  const query = isKnown ? `?epoch=${encodeURIComponent(known.epoch)}&after=${known.head}` : "";
  return {
    address: `${url}/${stored.session}${query}`,
    protocols: [SUBPROTOCOL, TOKEN_PREFIX + stored.token],
  };
}

/** Opens the platform's own `WebSocket`. */
export function openWebSocket(url: string, protocols: string[]): Socket {
  return new WebSocket(url, protocols);
}
