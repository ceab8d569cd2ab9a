/** Texts of the end card: why a session ended and what the person can do next. Pure. */

import { explainClose, REPLACED } from "@mayfly/client/close";
import type { EndReason, ErrorCode } from "@mayfly/client/protocol";
import type { SessionState } from "@mayfly/client/state";

export interface EndDescription {
  readonly tone: "over" | "bad";
  readonly title: string;
  readonly text: string;
  /** The action that the end card offers. */
  readonly nextStep: NextStep;
}

/**
 * - `new_agent`: start a new session in this conversation.
 * - `resend`: start a new session and send the unanswered message again.
 * - `take_over`: move the session from another tab to this one.
 * - `enter_key`: enter the hub's key.
 * - `reconnect`: connect to the hub again.
 * - `reload`: reload the page.
 */
export type NextStep = "new_agent" | "resend" | "take_over" | "enter_key" | "reconnect" | "reload";

const HISTORY_NOTE = "The messages stay here, but a new agent does not know them.";

const BY_REASON: { readonly [reason in EndReason]: EndDescription } = {
  bye: { tone: "over", title: "Conversation ended", text: "Its agent has stopped.", nextStep: "new_agent" },
  disconnected: {
    tone: "over",
    title: "Conversation ended",
    text: "Its last connection was closed, so its agent has stopped.",
    nextStep: "new_agent",
  },
  idle: {
    tone: "over",
    title: "Conversation timed out",
    text: "Nobody wrote for a while, so the agent has stopped.",
    nextStep: "new_agent",
  },
  max: {
    tone: "over",
    title: "Time limit reached",
    text: "This agent reached its maximum lifetime.",
    nextStep: "new_agent",
  },
  agent_lost: {
    tone: "bad",
    title: "The agent stopped unexpectedly",
    text: "It exited or no longer responds.",
    nextStep: "resend",
  },
  spawn_failed: {
    tone: "bad",
    title: "The agent could not be started",
    text: "Try again. If it fails again, the hub's log has the reason.",
    nextStep: "resend",
  },
  deleted: {
    tone: "over",
    title: "The conversation was ended",
    text: "The application that created it ended it.",
    nextStep: "new_agent",
  },
  drained: {
    tone: "over",
    title: "The hub is shutting down",
    text: "Continue when it is running again.",
    nextStep: "new_agent",
  },
};

const GONE: EndDescription = {
  tone: "over",
  title: "This agent has stopped",
  text: "It stopped while this page was closed.",
  nextStep: "new_agent",
};

/** The hub refused a new session for lack of a key. */
const KEY_REQUIRED: EndDescription = {
  tone: "over",
  title: "This hub requires a key",
  text: "Ask the operator of the hub for it. The key is stored in this tab only.",
  nextStep: "enter_key",
};
const DENIED = 4502;

const BY_ERROR: { readonly [code in ErrorCode]?: EndDescription } = {
  "quota.sessions": {
    tone: "bad",
    title: "All agents are in use",
    text: "The hub has reached its limit of agents. Try again in a moment.",
    nextStep: "resend",
  },
  "quota.owner": {
    tone: "bad",
    title: "You have reached the limit of agents per person",
    text: "End another conversation, then try again.",
    nextStep: "resend",
  },
  "quota.address": {
    tone: "bad",
    title: "Your network has reached its limit of agents",
    text: "Try again when another conversation from your network has ended.",
    nextStep: "resend",
  },
  "quota.sockets": {
    tone: "bad",
    title: "Too many connections",
    text: "The hub accepts no more connections at the moment. Try again in a moment.",
    nextStep: "reconnect",
  },
  "quota.rate": {
    tone: "bad",
    title: "Too many messages at once",
    text: "The hub closed the connection. Continue in a moment.",
    nextStep: "new_agent",
  },
  "auth.origin": {
    tone: "bad",
    title: "This page is not allowed to use the hub",
    text: "Open the page that the hub itself serves, or allow this page's origin in the hub's configuration.",
    nextStep: "reload",
  },
  "auth.denied": {
    tone: "bad",
    title: "This conversation cannot be opened here",
    text: "This page's access to it is no longer valid.",
    nextStep: "new_agent",
  },
  "session.expired": { ...GONE, title: "This agent's time has expired" },
  "session.gone": GONE,
  "session.ended": GONE,
  "hub.draining": BY_REASON.drained,
};

/** Used for a close without an end reason and without an error. */
const BY_CLOSE: ReadonlyMap<number, EndDescription | undefined> = new Map([
  [1000, BY_REASON.bye],
  [4004, BY_ERROR["quota.sessions"]],
  [4005, BY_ERROR["quota.rate"]],
  [4500, BY_ERROR["session.expired"]],
  [4501, GONE],
  [DENIED, BY_ERROR["auth.denied"]],
  [4503, BY_ERROR["auth.origin"]],
  [4506, GONE],
  [
    REPLACED,
    {
      tone: "over",
      title: "This conversation is open in another tab",
      text: "It continues there.",
      nextStep: "take_over",
    },
  ],
  [4508, BY_REASON.spawn_failed],
  [4509, BY_REASON.agent_lost],
]);

/** Describes the end of the session; null while the session lives. */
export function describeEnd(state: SessionState): EndDescription | null {
  const end = endOf(state);
  const isEmpty = state.turns.length + state.earlier.length === 0;
  const needsNewAgent = end?.nextStep === "new_agent" || end?.nextStep === "resend";
  return end === null || isEmpty || !needsNewAgent ? end : { ...end, text: `${end.text} ${HISTORY_NOTE}` };
}

function endOf(state: SessionState): EndDescription | null {
  const { reason, failure, code } = state.end;
  if (state.fault !== null) {
    return {
      tone: "bad",
      title: "The page cannot understand the hub",
      text: `The hub sent an invalid frame (${state.fault}). Reload the page. If it happens again, the page or the hub is out of date.`,
      nextStep: "reload",
    };
  }
  if (state.link === "idle" && state.turns.length + state.earlier.length > 0) {
    return GONE;
  }
  if (reason === null && state.link !== "closed") {
    return null;
  }
  const known =
    (code === REPLACED ? BY_CLOSE.get(code) : undefined) ??
    (code === DENIED && state.session === null ? KEY_REQUIRED : undefined) ??
    (failure === null ? undefined : BY_ERROR[failure.code]) ??
    (reason === null ? undefined : BY_REASON[reason]) ??
    (code === null ? undefined : BY_CLOSE.get(code));
  if (known !== undefined) {
    const detail = reason === "spawn_failed" || reason === "agent_lost" ? sentence(failure?.message) : "";
    const text = reason === "agent_lost" && detail !== "" ? detail.trim() : `${detail}${known.text}`;
    return { ...known, text, nextStep: nextStepOf(known, state) };
  }
  if (state.session === null) {
    return {
      tone: "bad",
      title: "The hub cannot be reached",
      text: "Check that it is running, then try again.",
      nextStep: "reconnect",
    };
  }
  const meaning = code === null ? "The connection was closed." : explainClose(code).meaning;
  return {
    tone: "bad",
    title: "Connection lost",
    text: `${meaning} The agent has stopped.`,
    nextStep: "new_agent",
  };
}

/** The title for an error code; null if the page has no text for the code. */
export function errorTitle(code: ErrorCode): string | null {
  return BY_ERROR[code]?.title ?? null;
}

/** The last message if it has no answer, so that it can be sent to another agent; null otherwise. */
export function unansweredMessage(state: SessionState): string | null {
  const last = state.turns.at(-1);
  const isAnswered =
    last?.outcome === "complete" || last?.outcome === "length" || last?.outcome === "stopped";
  return last === undefined || last.text === "" || isAnswered ? null : last.text;
}

/** `resend` becomes `new_agent` if every message has an answer. */
function nextStepOf({ nextStep }: EndDescription, state: SessionState): NextStep {
  const isAnswered = state.turns.length > 0 && unansweredMessage(state) === null;
  return nextStep === "resend" && isAnswered ? "new_agent" : nextStep;
}

/** Formats a message of the hub as a sentence followed by a space; empty for no message. */
export function sentence(message: string | undefined): string {
  if (message === undefined || message === "") {
    return "";
  }
  const end = /[.!?]$/.test(message) ? "" : ".";
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${end} `;
}
