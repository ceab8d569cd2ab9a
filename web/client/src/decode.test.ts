import { expect, test } from "vitest";
import { decode } from "./decode.ts";

test("a known frame is returned unchanged", () => {
  const frame = { type: "text-delta", seq: 4, turn: "t1", id: "x0", delta: "a" };
  expect(decode(JSON.stringify(frame))).toEqual(frame);
});

test.each(["data-mood", "data-weather", "session.renamed", "toString"])(
  "%s is unknown but keeps its seq",
  (type) => {
    expect(decode(JSON.stringify({ type, seq: 4, turn: "t1" }))).toEqual({ type: "unknown", seq: 4 });
    expect(decode(JSON.stringify({ type }))).toEqual({ type: "unknown", seq: null });
  },
);

test("a merged frame of an unknown type keeps its range", () => {
  const merged = { type: "data-mood", turn: "t1", from: 4, seq: 9 };
  expect(decode(JSON.stringify(merged))).toEqual({ type: "unknown", from: 4, seq: 9 });
});

test("a snapshot's frames are checked and unknown ones are dropped", () => {
  const known = { type: "text-delta", seq: 4, turn: "t1", id: "x0", delta: "a" };
  const snapshot = { type: "session.snapshot", why: "new", truncated: false };
  const frames = [known, { type: "data-mood", seq: 5, turn: "t1" }];
  expect(decode(JSON.stringify({ ...snapshot, frames }))).toEqual({ ...snapshot, frames: [known] });
  expect(decode(JSON.stringify({ ...snapshot, frames: [{ ...known, delta: 5 }] }))).toBe(
    "a snapshot with a text-delta frame without a valid delta",
  );
});

test.each([
  ["not JSON", "{"],
  ["without a type", "null"],
  ["without a type", "[]"],
  ["without a type", '{"type":7}'],
  ["bad seq", '{"type":"start","turn":"t1","seq":1.5}'],
  ["bad seq", '{"type":"start","turn":"t1","seq":1,"from":"0"}'],
  ["valid frames", '{"type":"session.snapshot","why":"new","truncated":false,"frames":{}}'],
  ["valid deadline", '{"type":"session.extended","deadline":null}'],
  ["valid seq", '{"type":"start","turn":"t1"}'],
  ["valid delta", '{"type":"text-delta","seq":1,"turn":"t1","id":"x0","delta":5}'],
  [
    "valid input",
    '{"type":"tool-input-available","seq":1,"turn":"t1","toolCallId":"w","toolName":"weather"}',
  ],
])("rejects a message with fault %j: %s", (why, message) => {
  expect(decode(message)).toContain(why);
});

test("rejects a binary message", () => {
  expect(decode(new ArrayBuffer(1))).toBe("a binary message");
});
