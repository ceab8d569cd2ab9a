import { expect, test } from "vitest";
import { SUBPROTOCOL } from "./protocol.ts";
import { runningTurn } from "./state.ts";
import { tab } from "./testing/tab.ts";

test("connect opens one socket and hello carries the client id", () => {
  const { client, sockets, socket, platform } = tab();
  client.connect();
  expect(sockets).toMatchObject([{ address: "ws://hub/ws", protocols: [SUBPROTOCOL] }]);
  socket().open();
  const [hello] = socket().sent;
  expect(hello).toMatchObject({ type: "hello", client: expect.stringMatching(/^mayfly-web\/\d/) });
  expect(hello?.client_id).toMatch(/^[0-9a-f]{32}$/);
  const reloaded = tab({ platform });
  reloaded.socket().open();
  expect(reloaded.socket().sent[0]).toEqual(hello);
});

test("a message sent before session.ready is sent after it", () => {
  const { client, socket } = tab();
  const id = client.send("Hello");
  expect(client.state.turns).toMatchObject([{ key: id, text: "Hello", phase: "sending" }]);
  expect(socket().sent).toEqual([]);
  socket().open();
  expect(socket().requests).toEqual([{ type: "message", id, text: "Hello" }]);
});

test("message ids are unique and 32 hexadecimal digits long", () => {
  const { client } = tab();
  const ids = [client.send("a"), client.send("a")];
  expect(new Set(ids).size).toBe(2);
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
});

test("a turn is accepted, answered and stopped", () => {
  const { client, socket } = tab();
  socket().open();
  const message = client.send("Tell me a story");
  socket().replayable({ type: "session.status", status: "active", elapsed_ms: 9 });
  socket().replayable({ type: "turn.accepted", turn: "t1", message, position: 0, text: "Tell me a story" });
  socket().replayable({ type: "text-delta", turn: "t1", id: "x0", delta: "Once" });
  expect(runningTurn(client.state)).toMatchObject({ turn: "t1", parts: [{ text: "Once" }] });
  client.stop("t1");
  expect(socket().sent.at(-1)).toEqual({ type: "stop", turn: "t1" });
  expect(runningTurn(client.state)?.stopping).toBe(true);
  socket().replayable({ type: "turn.done", turn: "t1", reason: "stopped" });
  expect(client.state.turns).toMatchObject([{ outcome: "stopped" }]);
  client.regenerate();
  client.extend();
  expect(socket().requests.slice(-2)).toEqual([{ type: "regenerate", turn: "t1" }, { type: "extend" }]);
});

test("listeners are called for each commit until they unsubscribe", () => {
  const { client, socket } = tab();
  let calls = 0;
  const unsubscribe = client.subscribe(() => calls++);
  socket().open();
  const before = calls;
  expect(before).toBeGreaterThan(0);
  socket().replayable({ type: "session.status", status: "active", elapsed_ms: 9 });
  expect(calls).toBe(before + 1);
  unsubscribe();
  client.send("a");
  expect(calls).toBe(before + 1);
});

test("a protocol fault closes the socket and is not retried", () => {
  const { client, socket, sockets, platform } = tab();
  socket().open();
  socket().receive({ type: "session.status", status: "active", elapsed_ms: 9, seq: 2 });
  expect(socket().closed).toBe(true);
  expect(client.state.fault).toBe("frame 2 came after frame 0");
  expect(client.send("a")).toBeNull();
  socket().disconnect(1006);
  platform.advance(60_000);
  expect(client.state).toMatchObject({ link: "closed", fault: "frame 2 came after frame 0" });
  expect(sockets).toHaveLength(1);
});

test("a new session ignores the old socket", () => {
  const { client, socket, sockets } = tab();
  socket().open();
  client.bye();
  expect(socket().sent.at(-1)).toEqual({ type: "bye" });
  socket().receive({ type: "session.ended", reason: "bye" });
  expect(client.send("too late")).toBeNull();
  client.begin();
  expect(sockets.map(({ address }) => address)).toEqual(["ws://hub/ws", "ws://hub/ws"]);
  socket(0).disconnect(1000);
  expect(client.state).toMatchObject({ link: "connecting", end: { code: null } });
  socket(1).open({ session: "s_2" });
  expect(client.state).toMatchObject({ link: "open", session: "s_2" });
});
