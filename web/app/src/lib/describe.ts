/** The session in words: what its state is called, and when it is over, what happened and what to do. Pure. */

import { explainClose, isOver, REPLACED } from "@mayfly/client/close";
import type { EndReason, ErrorCode, Step } from "@mayfly/client/protocol";
import { canSend, runningTurn, type SessionState } from "@mayfly/client/state";

export interface StatusWords {
  readonly tone: "busy" | "ready" | "over" | "bad";
  readonly words: string;
}

export interface EndWords {
  readonly tone: "over" | "bad";
  readonly title: string;
  readonly text: string;
  /** The session itself goes on, and can be taken up again here. */
  readonly isElsewhere?: true;
}

/** What each step of the agent's start is called while it runs and once it is done. */
export const STEP_WORDS: { readonly [step in Step]: { readonly doing: string; readonly done: string } } = {
  starting: { doing: "Starting the agent", done: "Agent started" },
  probing: { doing: "Waiting until it is ready", done: "Agent ready" },
};

const BY_REASON: { readonly [reason in EndReason]: EndWords } = {
  bye: {
    tone: "over",
    title: "Conversation ended",
    text: "Its agent is gone. What was said stays here until you start a new one.",
  },
  disconnected: {
    tone: "over",
    title: "Conversation ended",
    text: "The last connection to it was closed, and its agent is gone.",
  },
  idle: {
    tone: "over",
    title: "Ended after a long silence",
    text: "Nothing was said for a while, so the agent is gone. What was said stays here until you start a new conversation.",
  },
  max: {
    tone: "over",
    title: "Time is up",
    text: "This conversation lasted as long as one may. What was said stays here until you start a new one.",
  },
  agent_lost: {
    tone: "bad",
    title: "The agent was lost",
    text: "It ended or no longer answers. A new conversation gets a fresh one.",
  },
  spawn_failed: {
    tone: "bad",
    title: "The agent could not be started",
    text: "Try again; if it happens again, the hub's log says why.",
  },
  drained: {
    tone: "over",
    title: "The hub is shutting down",
    text: "Start a new conversation once it is back.",
  },
};

const GONE: EndWords = {
  tone: "over",
  title: "This conversation is gone",
  text: "It ended while this page was away, and its agent with it. A new conversation gets a fresh one.",
};

const BY_ERROR: { readonly [code in ErrorCode]?: EndWords } = {
  "quota.sessions": {
    tone: "bad",
    title: "All agents are taken",
    text: "The hub runs as many as it may. Try again in a moment.",
  },
  "quota.sockets": {
    tone: "bad",
    title: "Too many connections",
    text: "The hub takes no more of them for now. Try again in a moment.",
  },
  "quota.rate": {
    tone: "bad",
    title: "Too many messages at once",
    text: "The hub closed the connection. Start a new conversation in a moment.",
  },
  "auth.origin": {
    tone: "bad",
    title: "This page may not use the hub",
    text: "Open the page that the hub itself serves, or allow this page's origin in the hub's configuration.",
  },
  "auth.denied": {
    tone: "bad",
    title: "This conversation cannot be opened here",
    text: "What lets this page into it is not valid any more. Start a new one.",
  },
  "session.expired": { ...GONE, title: "This conversation has expired" },
  "session.gone": GONE,
  "session.ended": GONE,
  "hub.draining": BY_REASON.drained,
};

/** Closes that come without a reason or an error, but say enough. */
const BY_CLOSE: ReadonlyMap<number, EndWords | undefined> = new Map([
  [1000, BY_REASON.bye],
  [4004, BY_ERROR["quota.sessions"]],
  [4005, BY_ERROR["quota.rate"]],
  [4500, BY_ERROR["session.expired"]],
  [4501, GONE],
  [4502, BY_ERROR["auth.denied"]],
  [4503, BY_ERROR["auth.origin"]],
  [4506, GONE],
  [
    REPLACED,
    {
      tone: "over",
      title: "This conversation is open in another tab",
      text: "It goes on there.",
      isElsewhere: true,
    },
  ],
  [4508, BY_REASON.spawn_failed],
  [4509, BY_REASON.agent_lost],
]);

export function describeStatus(state: SessionState): StatusWords {
  if (!canSend(state)) {
    const end = describeEnd(state);
    return end === null ? { tone: "busy", words: "Ending" } : { tone: end.tone, words: statusOfEnd(state) };
  }
  if (state.link === "reconnecting") {
    return { tone: "busy", words: "Reconnecting…" };
  }
  if (state.status === "active" || state.status === "idle") {
    return runningTurn(state) === null
      ? { tone: "ready", words: "Ready" }
      : { tone: "ready", words: "Answering" };
  }
  return { tone: "busy", words: state.status === "creating" ? "Starting an agent" : "Connecting" };
}

/** Why there is no connection yet or now, as a sentence; null while no attempt has failed. */
export function describeTrouble(state: SessionState): string | null {
  const { failure, code } = state.end;
  if (code === null || (state.link !== "connecting" && state.link !== "reconnecting")) {
    return null;
  }
  if (failure !== null) {
    return `${
      BY_ERROR[failure.code]?.title ??
      sentence(failure.message)
        .trim()
        .replace(/[.!?]$/, "")
    }.`;
  }
  return state.session === null ? "The hub cannot be reached." : "The connection was lost.";
}

/** What to say about the end; null while there is none. */
export function describeEnd(state: SessionState): EndWords | null {
  const { reason, failure, code } = state.end;
  if (state.fault !== null) {
    return {
      tone: "bad",
      title: "The page and the hub do not understand each other",
      text: `The hub sent what this page cannot follow (${state.fault}). Reload the page; if it happens again, one of them is out of date.`,
    };
  }
  if (reason === null && state.link !== "closed") {
    return null;
  }
  const known =
    (code === REPLACED ? BY_CLOSE.get(code) : undefined) ??
    (failure === null ? undefined : BY_ERROR[failure.code]) ??
    (reason === null ? undefined : BY_REASON[reason]) ??
    (code === null ? undefined : BY_CLOSE.get(code));
  if (known !== undefined) {
    const detail = reason === "spawn_failed" || reason === "agent_lost" ? sentence(failure?.message) : "";
    return { ...known, text: `${detail}${known.text}` };
  }
  if (state.session === null) {
    return {
      tone: "bad",
      title: "The hub cannot be reached",
      text: "See that it is running, then try again.",
    };
  }
  const what = code === null ? "The connection was closed." : explainClose(code).what;
  return {
    tone: "bad",
    title: "Connection lost",
    text: `${what} The agent ended with it; a new conversation gets a fresh one.`,
  };
}

function statusOfEnd(state: SessionState): string {
  const { reason, code } = state.end;
  if (code === REPLACED) {
    return "In another tab";
  }
  if (reason !== null || (code !== null && isOver(code))) {
    return "Ended";
  }
  return state.session === null ? "Not connected" : "Disconnected";
}

/** A message of the hub as a sentence of its own, with a space after it. */
function sentence(message: string | undefined): string {
  if (message === undefined || message === "") {
    return "";
  }
  const end = /[.!?]$/.test(message) ? "" : ".";
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${end} `;
}
