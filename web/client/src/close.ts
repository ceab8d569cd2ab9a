/**
 * What a WebSocket's close code says about the session: what happened, and whether connecting again can help.
 * The codes are `CloseCode` of hub/protocol; 1005, 1006 and 1001 are the browser's own (RFC 6455, section 7.4.1).
 */

export interface Close {
  /** What happened, as a sentence for people. */
  readonly what: string;
  /** Whether a client may connect again without a person asking for it. */
  readonly mayReconnect: boolean;
}

const CLOSES: ReadonlyMap<number, Close> = new Map([
  [1000, { what: "The conversation was ended.", mayReconnect: false }],
  [1001, { what: "The hub went away.", mayReconnect: true }],
  [1005, { what: "The connection was closed.", mayReconnect: false }],
  [1006, { what: "The connection to the hub was lost.", mayReconnect: true }],
  [1002, { what: "The connection broke the WebSocket protocol.", mayReconnect: false }],
  [1007, { what: "A message was not UTF-8.", mayReconnect: false }],
  [1009, { what: "A message was larger than the hub accepts.", mayReconnect: false }],
  [4001, { what: "The connection was too slow to keep up.", mayReconnect: true }],
  [4004, { what: "The hub runs as many agents as it may.", mayReconnect: true }],
  [4005, { what: "Too many messages came in a short time.", mayReconnect: true }],
  [4501, { what: "The session has ended.", mayReconnect: false }],
  [4503, { what: "This page may not use the hub.", mayReconnect: false }],
  [4505, { what: "The hub could not make sense of the messages.", mayReconnect: false }],
  [4508, { what: "The agent could not be started.", mayReconnect: false }],
  [4509, { what: "The agent was lost.", mayReconnect: false }],
]);

/** First code of those after which a client must not reconnect; from 4000 up to it, it may. */
const FINAL_FROM = 4500;

/** Explains a close code; one that is not in the table is judged by its range. */
export function explainClose(code: number): Close {
  return (
    CLOSES.get(code) ?? {
      what: `The connection was closed (code ${code}).`,
      mayReconnect: code < FINAL_FROM,
    }
  );
}
