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

export const CLOSES: ReadonlyMap<number, Close> = new Map([
  [1000, { what: "The conversation was ended.", mayReconnect: false }],
  [1001, { what: "The hub went away.", mayReconnect: true }],
  [1005, { what: "The connection was closed.", mayReconnect: false }],
  [1006, { what: "The connection to the hub was lost.", mayReconnect: true }],
  [1002, { what: "The connection broke the WebSocket protocol.", mayReconnect: false }],
  [1007, { what: "A message was not UTF-8.", mayReconnect: false }],
  [1009, { what: "A message was larger than the hub accepts.", mayReconnect: false }],
  [4001, { what: "The connection was too slow to keep up.", mayReconnect: true }],
  [4002, { what: "The connection fell silent.", mayReconnect: true }],
  [4004, { what: "The hub runs as many agents as it may.", mayReconnect: true }],
  [4005, { what: "Too many messages came in a short time.", mayReconnect: true }],
  [4500, { what: "The session's time was up.", mayReconnect: false }],
  [4501, { what: "The session has ended.", mayReconnect: false }],
  [4502, { what: "The session cannot be opened from here.", mayReconnect: false }],
  [4503, { what: "This page may not use the hub.", mayReconnect: false }],
  [4505, { what: "The hub could not make sense of the messages.", mayReconnect: false }],
  [4506, { what: "There is no such session any more.", mayReconnect: false }],
  [4507, { what: "The session is open in another tab.", mayReconnect: false }],
  [4508, { what: "The agent could not be started.", mayReconnect: false }],
  [4509, { what: "The agent was lost.", mayReconnect: false }],
]);

/** The session goes on, in another tab. */
export const REPLACED = 4507;

/** Closes by which a session that one wanted to come back to turns out to be out of reach. */
const GONE: ReadonlySet<number> = new Set([4500, 4501, 4502, 4506]);
const OVER: ReadonlySet<number> = new Set([...GONE, 1000, 4508, 4509]);

/** Whether there is no session to come back to. */
export function isGone(code: number): boolean {
  return GONE.has(code);
}

/** Whether the session is over for whoever hears this, however it began. */
export function isOver(code: number): boolean {
  return OVER.has(code);
}

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
