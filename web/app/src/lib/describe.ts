/** The session in words: what its state is called, and when it is over, what happened and what to do. Pure. */

import { explainClose, isOver, REPLACED } from "@mayfly/client/close";
import type { EndReason, ErrorCode, Step } from "@mayfly/client/protocol";
import { type BootStep, canSend, type Line, runningTurn, type SessionState } from "@mayfly/client/state";

export interface StatusWords {
  readonly tone: "busy" | "ready" | "answering" | "over" | "bad";
  readonly words: string;
}

export interface EndWords {
  readonly tone: "over" | "bad";
  readonly title: string;
  readonly text: string;
  /** What gets a person on. */
  readonly way: Way;
}

/**
 * `anew`: another agent, in the same conversation; `again`: likewise, with the message that was not answered; `here`: the
 * session itself, which goes on in another tab; `key`: what lets one in; `retry`: the hub again; `reload`: another page.
 */
export type Way = "anew" | "again" | "here" | "key" | "retry" | "reload";

/** What each step of the agent's start is called while it runs and once it is done. */
const STEP_WORDS: { readonly [step in Step]: { readonly doing: string; readonly done: string } } = {
  queued: { doing: "Waiting in line", done: "Waited in line" },
  claiming: { doing: "Taking an agent that is ready", done: "Agent taken" },
  starting: { doing: "Starting the agent", done: "Agent started" },
  probing: { doing: "Waiting until it is ready", done: "Agent ready" },
};

/** A step of the agent's start as it stands. */
export function stepWords({ step, tookMs }: BootStep, isOver: boolean): string {
  // A hub that is newer than this page may have steps that it does not know.
  const { doing, done } = (STEP_WORDS as Partial<typeof STEP_WORDS>)[step] ?? { doing: step, done: step };
  return tookMs !== null ? done : `${doing}${isOver ? "" : "…"}`;
}

const STAYS = "What was said stays here; a new agent does not know it.";

const BY_REASON: { readonly [reason in EndReason]: EndWords } = {
  bye: { tone: "over", title: "Conversation ended", text: "Its agent is gone.", way: "anew" },
  disconnected: {
    tone: "over",
    title: "Conversation ended",
    text: "The last connection to it was closed, and its agent is gone.",
    way: "anew",
  },
  idle: {
    tone: "over",
    title: "Ended after a long silence",
    text: "Nothing was said for a while, so the agent is gone.",
    way: "anew",
  },
  max: {
    tone: "over",
    title: "Time is up",
    text: "This agent lived as long as one may.",
    way: "anew",
  },
  agent_lost: {
    tone: "bad",
    title: "The agent was lost",
    text: "It ended or no longer answers.",
    way: "again",
  },
  spawn_failed: {
    tone: "bad",
    title: "The agent could not be started",
    text: "Try again; if it happens again, the hub's log says why.",
    way: "again",
  },
  deleted: {
    tone: "over",
    title: "The conversation was ended",
    text: "The application that began it ended it.",
    way: "anew",
  },
  drained: {
    tone: "over",
    title: "The hub is shutting down",
    text: "Go on once it is back.",
    way: "anew",
  },
};

const GONE: EndWords = {
  tone: "over",
  title: "This agent is gone",
  text: "It ended while this page was away.",
  way: "anew",
};

/** A new session was refused; one of before that is refused is begun anew. */
const NOT_ADMITTED: EndWords = {
  tone: "over",
  title: "This hub asks for a key",
  text: "Whoever runs it has one. It stays in this tab.",
  way: "key",
};
const DENIED = 4502;

const BY_ERROR: { readonly [code in ErrorCode]?: EndWords } = {
  "quota.sessions": {
    tone: "bad",
    title: "All agents are taken",
    text: "The hub runs as many as it may. Try again in a moment.",
    way: "again",
  },
  "quota.owner": {
    tone: "bad",
    title: "You have as many agents as one may",
    text: "End another conversation, then try again.",
    way: "again",
  },
  "quota.address": {
    tone: "bad",
    title: "Your network has as many agents as one may",
    text: "Try again once one of them is done.",
    way: "again",
  },
  "quota.sockets": {
    tone: "bad",
    title: "Too many connections",
    text: "The hub takes no more of them for now. Try again in a moment.",
    way: "retry",
  },
  "quota.rate": {
    tone: "bad",
    title: "Too many messages at once",
    text: "The hub closed the connection. Go on in a moment.",
    way: "anew",
  },
  "auth.origin": {
    tone: "bad",
    title: "This page may not use the hub",
    text: "Open the page that the hub itself serves, or allow this page's origin in the hub's configuration.",
    way: "reload",
  },
  "auth.denied": {
    tone: "bad",
    title: "This conversation cannot be opened here",
    text: "What lets this page into it is not valid any more.",
    way: "anew",
  },
  "session.expired": { ...GONE, title: "This agent's time is over" },
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
  [DENIED, BY_ERROR["auth.denied"]],
  [4503, BY_ERROR["auth.origin"]],
  [4506, GONE],
  [
    REPLACED,
    {
      tone: "over",
      title: "This conversation is open in another tab",
      text: "It goes on there.",
      way: "here",
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
      : { tone: "answering", words: "Answering" };
  }
  if (state.line !== null) {
    return { tone: "busy", words: placeWords(state.line) };
  }
  if (state.link === "connecting" && state.end.failure !== null) {
    return { tone: "busy", words: "Waiting for the hub…" };
  }
  return { tone: "busy", words: state.status === "creating" ? "Starting an agent…" : "Connecting…" };
}

/** The place in line, short enough for a head. */
function placeWords({ position }: Line): string {
  return position === 1 ? "Next in line" : `Number ${position} in line`;
}

/** What to say to who waits in line; null for who does not. */
export function describeLine({ line }: SessionState): string | null {
  if (line === null) {
    return null;
  }
  const place = line.position === 1 ? "You are next in line." : `You are number ${line.position} in line.`;
  return `All agents are taken. ${place}`;
}

export interface TroubleWords {
  /** Why there is no connection yet or now, as a sentence. */
  readonly what: string;
  /** Whether the hub itself said no, and not just nothing. */
  readonly isRefused: boolean;
  /** The session waits for this page, and until when. */
  readonly waitsUntilMs: number | null;
}

/** Null while no attempt has failed. */
export function describeTrouble(state: SessionState, isOnline: boolean): TroubleWords | null {
  const { failure, code } = state.end;
  if (code === null || (state.link !== "connecting" && state.link !== "reconnecting")) {
    return null;
  }
  if (failure !== null) {
    const what =
      BY_ERROR[failure.code]?.title ??
      sentence(failure.message)
        .trim()
        .replace(/[.!?]$/, "");
    return { what: `${what}.`, isRefused: true, waitsUntilMs: null };
  }
  const lost = state.session === null ? "The hub cannot be reached." : "The connection was lost.";
  return {
    what: isOnline ? lost : "You are offline.",
    isRefused: false,
    waitsUntilMs: state.session === null ? null : state.graceEndsAtMs,
  };
}

/** What to say about the end; null while there is none. */
export function describeEnd(state: SessionState): EndWords | null {
  const end = endOf(state);
  const isEmpty = state.turns.length + state.earlier.length === 0;
  const goesOn = end?.way === "anew" || end?.way === "again";
  return end === null || isEmpty || !goesOn ? end : { ...end, text: `${end.text} ${STAYS}` };
}

function endOf(state: SessionState): EndWords | null {
  const { reason, failure, code } = state.end;
  if (state.fault !== null) {
    return {
      tone: "bad",
      title: "The page and the hub do not understand each other",
      text: `The hub sent what this page cannot follow (${state.fault}). Reload the page; if it happens again, one of them is out of date.`,
      way: "reload",
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
    (code === DENIED && state.session === null ? NOT_ADMITTED : undefined) ??
    (failure === null ? undefined : BY_ERROR[failure.code]) ??
    (reason === null ? undefined : BY_REASON[reason]) ??
    (code === null ? undefined : BY_CLOSE.get(code));
  if (known !== undefined) {
    const detail = reason === "spawn_failed" || reason === "agent_lost" ? sentence(failure?.message) : "";
    const text = reason === "agent_lost" && detail !== "" ? detail.trim() : `${detail}${known.text}`;
    return { ...known, text, way: wayOn(known.way, state) };
  }
  if (state.session === null) {
    return {
      tone: "bad",
      title: "The hub cannot be reached",
      text: "See that it is running, then try again.",
      way: "retry",
    };
  }
  const what = code === null ? "The connection was closed." : explainClose(code).what;
  return {
    tone: "bad",
    title: "Connection lost",
    text: `${what} The agent ended with it.`,
    way: "anew",
  };
}

/** The last message, if it got no answer: what to say again to another agent. */
export function unanswered(state: SessionState): string | null {
  const last = state.turns.at(-1);
  const isAnswered =
    last?.outcome === "complete" || last?.outcome === "length" || last?.outcome === "stopped";
  return last === undefined || last.text === "" || isAnswered ? null : last.text;
}

function wayOn(way: Way, state: SessionState): Way {
  const isDone = state.turns.length > 0 && unanswered(state) === null;
  return way === "again" && isDone ? "anew" : way;
}

function statusOfEnd(state: SessionState): string {
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

/** A message of the hub as a sentence of its own, with a space after it. */
function sentence(message: string | undefined): string {
  if (message === undefined || message === "") {
    return "";
  }
  const end = /[.!?]$/.test(message) ? "" : ".";
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}${end} `;
}
