/**
 * The meaning of WebSocket close codes and whether a client may reconnect. Codes from 4000 on are `CloseCode` of
 * hub/protocol; the others are defined in RFC 6455, section 7.4.1.
 */

export interface Close {
  /** A sentence for people. */
  readonly meaning: string;
  /** True if a client may reconnect automatically. */
  readonly mayReconnect: boolean;
}

export const CLOSE_CODES: ReadonlyMap<number, Close> = new Map([
  [1000, { meaning: "The conversation was ended.", mayReconnect: false }],
  [1001, { meaning: "The hub went away.", mayReconnect: true }],
  [1005, { meaning: "The connection was closed.", mayReconnect: false }],
  [1006, { meaning: "The connection to the hub was lost.", mayReconnect: true }],
  [1002, { meaning: "The connection broke the WebSocket protocol.", mayReconnect: false }],
  [1007, { meaning: "A message was not UTF-8.", mayReconnect: false }],
  [1009, { meaning: "A message was larger than the hub accepts.", mayReconnect: false }],
  [4001, { meaning: "The connection was too slow to keep up.", mayReconnect: true }],
  [4002, { meaning: "The connection stopped responding.", mayReconnect: true }],
  [4004, { meaning: "The hub has reached its limit of agents.", mayReconnect: true }],
  [4005, { meaning: "Too many messages were sent in a short time.", mayReconnect: true }],
  [4500, { meaning: "The session expired.", mayReconnect: false }],
  [4501, { meaning: "The session has ended.", mayReconnect: false }],
  [4502, { meaning: "The session cannot be opened from here.", mayReconnect: false }],
  [4503, { meaning: "This page is not allowed to use the hub.", mayReconnect: false }],
  [4505, { meaning: "The hub could not read the client's frames.", mayReconnect: false }],
  [4506, { meaning: "The session does not exist.", mayReconnect: false }],
  [4507, { meaning: "The session is open in another tab.", mayReconnect: false }],
  [4508, { meaning: "The agent could not be started.", mayReconnect: false }],
  [4509, { meaning: "The agent was lost.", mayReconnect: false }],
]);

/** Another tab has replaced this connection; the session continues there. */
export const REPLACED = 4507;

/** Codes after which a stored session cannot be resumed. */
const GONE: ReadonlySet<number> = new Set([4500, 4501, 4502, 4506]);
/** Codes after which the session has ended for this client. */
const OVER: ReadonlySet<number> = new Set([...GONE, 1000, 4508, 4509]);

/** Returns true if the session cannot be resumed. */
export function isGone(code: number): boolean {
  return GONE.has(code);
}

/** Returns true if the session has ended for this client. */
export function isOver(code: number): boolean {
  return OVER.has(code);
}

/** From this code on a client must not reconnect. */
const FINAL_FROM = 4500;

/** Explains a close code. Codes that are not in the table are judged by their range. */
export function explainClose(code: number): Close {
  return (
    CLOSE_CODES.get(code) ?? {
      meaning: `The connection was closed (code ${code}).`,
      mayReconnect: code < FINAL_FROM,
    }
  );
}
