import { expect, test } from "vitest";
import { FakePlatform } from "./testing/platform.ts";
import { tab } from "./testing/tab.ts";
import { archiveTurns, EARLIER_MAX_TURNS, readTranscript } from "./transcript.ts";
import { sentTurn } from "./turns.ts";

const turn = (key: string) =>
  ({ ...sentTurn(key, key), turn: key, phase: "done", outcome: "complete" }) as const;

test("readTranscript accepts only transcripts", () => {
  const transcript = { earlier: [{ session: "s_1", turns: [turn("a")] }], turns: [turn("b")] };
  expect(readTranscript(JSON.stringify(transcript))).toEqual(transcript);
  for (const json of [null, "", "7", "{}", '{"earlier":[],"turns":[{}]}', '{"earlier":[7],"turns":[]}']) {
    expect(readTranscript(json)).toBeNull();
  }
});

test("archiving keeps the newest turns", () => {
  const old = { session: "s_1", turns: Array.from({ length: EARLIER_MAX_TURNS }, (_, n) => turn(`a${n}`)) };
  const kept = archiveTurns({ session: "s_2", earlier: [old], turns: [turn("b")] });
  expect(kept.map(({ turns }) => turns.length)).toEqual([EARLIER_MAX_TURNS - 1, 1]);
  expect(kept[0]?.turns[0]?.key).toBe("a1");
});

test("a stored transcript is shown until the snapshot, or archived if the session is gone", () => {
  const platform = new FakePlatform();
  platform.storage.setItem("mayfly.session", JSON.stringify({ session: "s_1", token: "k-1" }));
  const transcript = { earlier: [], turns: [turn("old")] };
  const back = tab({ platform, transcript });
  expect(back.client.state.turns).toEqual(transcript.turns);
  back.socket().attach(3, { type: "session.status", status: "active", elapsed_ms: 4, seq: 1 });
  expect(back.client.state).toMatchObject({ turns: [], earlier: [] });

  const gone = tab({ platform, transcript });
  gone.socket().disconnect(4506);
  expect(gone.client.state).toMatchObject({ turns: [], earlier: [{ turns: [{ key: "old" }] }] });
  expect(gone.sockets).toHaveLength(2);
});
