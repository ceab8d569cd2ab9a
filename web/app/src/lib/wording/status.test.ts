import { INITIAL, type SessionState } from "@mayfly/client/state";
import { expect, test } from "vitest";
import { live, over, running } from "../../testing/session.ts";
import { describeStatus } from "./status.ts";

test.each<[string, SessionState]>([
  ["Connecting…", { ...INITIAL, link: "connecting" }],
  ["Starting an agent…", { ...live, status: "creating" }],
  ["Next in line", { ...INITIAL, link: "connecting", line: { position: 1, sinceMs: 0 } }],
  ["Number 3 in line", { ...INITIAL, link: "connecting", line: { position: 3, sinceMs: 0 } }],
  ["Ready", live],
  ["Ready", { ...live, status: "idle" }],
  ["Reconnecting…", { ...live, link: "reconnecting", turns: [running] }],
  ["Answering", { ...live, turns: [running] }],
  ["Ending", { ...live, status: "terminating" }],
  ["Ended", over("bye", 1000)],
  ["Ended", over(null, 4506)],
  ["In another tab", over(null, 4507)],
  ["Disconnected", over(null, 1006)],
  ["Not connected", { ...over(null, 1006), session: null }],
])("the status is labelled %j", (label, state) => {
  expect(describeStatus(state).label).toBe(label);
});
