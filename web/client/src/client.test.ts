import { expect, test } from "vitest";
import { SUBPROTOCOL } from "./protocol.ts";
import { runningTurn } from "./state.ts";
import { tab } from "./testing/tab.ts";

test("one socket, of the hub's subprotocol, and a greeting with the tab's name", () => {
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

test("a message sent before the hub is ready goes out once it is", () => {
  const { client, socket } = tab();
  const id = client.send("Hello");
  expect(client.state.turns).toMatchObject([{ key: id, text: "Hello", phase: "sending" }]);
  expect(socket().sent).toEqual([]);
  socket().open();
  expect(socket().said).toEqual([{ type: "message", id, text: "Hello" }]);
});

test("message ids are fresh, and as long as the hub accepts", () => {
  const { client } = tab();
  const ids = [client.send("a"), client.send("a")];
  expect(new Set(ids).size).toBe(2);
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
});

test("a conversation: accepted, answered, stopped", () => {
  const { client, socket } = tab();
  socket().open();
  const message = client.send("Tell me a story");
  socket().record({ type: "session.status", status: "active", elapsed_ms: 9 });
  socket().record({ type: "turn.accepted", turn: "t1", message, position: 0, text: "Tell me a story" });
  socket().record({ type: "text-delta", turn: "t1", id: "x0", delta: "Once" });
  expect(runningTurn(client.state)).toMatchObject({ turn: "t1", parts: [{ text: "Once" }] });
  client.stop("t1");
  expect(socket().sent.at(-1)).toEqual({ type: "stop", turn: "t1" });
  expect(runningTurn(client.state)?.stopping).toBe(true);
  socket().record({ type: "turn.done", turn: "t1", reason: "stopped" });
  expect(client.state.turns).toMatchObject([{ outcome: "stopped" }]);
  client.regenerate();
  client.extend();
  expect(socket().said.slice(-2)).toEqual([{ type: "regenerate", turn: "t1" }, { type: "extend" }]);
});

test("listeners hear of each commit, until they leave", () => {
  const { client, socket } = tab();
  let heard = 0;
  const leave = client.subscribe(() => heard++);
  socket().open();
  const before = heard;
  expect(before).toBeGreaterThan(0);
  socket().record({ type: "session.status", status: "active", elapsed_ms: 9 });
  expect(heard).toBe(before + 1);
  leave();
  client.send("a");
  expect(heard).toBe(before + 1);
});

test("what breaks the protocol closes the socket, stays visible, and is not tried again", () => {
  const { client, socket, sockets, platform } = tab();
  socket().open();
  socket().hear({ type: "session.status", status: "active", elapsed_ms: 9, seq: 2 });
  expect(socket().closed).toBe(true);
  expect(client.state.fault).toBe("frame 2 came after frame 0");
  expect(client.send("a")).toBeNull();
  socket().hangUp(1006);
  platform.pass(60_000);
  expect(client.state).toMatchObject({ link: "closed", fault: "frame 2 came after frame 0" });
  expect(sockets).toHaveLength(1);
});

test("a new session does not hear the last one's socket", () => {
  const { client, socket, sockets } = tab();
  socket().open();
  client.bye();
  expect(socket().sent.at(-1)).toEqual({ type: "bye" });
  socket().hear({ type: "session.ended", reason: "bye" });
  expect(client.send("too late")).toBeNull();
  client.begin();
  expect(sockets.map(({ address }) => address)).toEqual(["ws://hub/ws", "ws://hub/ws"]);
  socket(0).hangUp(1000);
  expect(client.state).toMatchObject({ link: "connecting", end: { code: null } });
  socket(1).open({ session: "s_2" });
  expect(client.state).toMatchObject({ link: "open", session: "s_2" });
});
