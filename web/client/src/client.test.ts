import { expect, test } from "vitest";
import { MayflyClient, type Socket } from "./client.ts";
import { SUBPROTOCOL } from "./protocol.ts";
import { runningTurn } from "./state.ts";

/** The hub's end of a socket. */
class FakeSocket implements Socket {
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  sent: unknown[] = [];
  closed = false;
  #seq = 0;

  send(data: string) {
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.closed = true;
  }

  open() {
    this.#call(this.onopen, {});
    this.hear({ type: "session.ready", v: 1, session: "s_1", status: "creating", head: 0 });
  }

  hear(frame: object) {
    this.#call(this.onmessage, { data: JSON.stringify(frame) });
  }

  /** A frame of the session's record. */
  record(frame: object) {
    this.hear({ ...frame, seq: ++this.#seq });
  }

  hangUp(code: number) {
    this.#call(this.onclose, { code });
  }

  #call(handler: ((this: WebSocket, event: never) => unknown) | null, event: object) {
    handler?.call(this as unknown as WebSocket, event as never);
  }
}

function connected() {
  const sockets: FakeSocket[] = [];
  const opened: [string, string][] = [];
  const client = new MayflyClient({
    url: "ws://hub/ws",
    screen: null,
    openSocket: (url, protocol) => {
      opened.push([url, protocol]);
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
  });
  client.connect();
  const socket = (index = 0): FakeSocket => {
    const found = sockets[index];
    if (found === undefined) {
      throw new Error(`socket ${index} was not opened`);
    }
    return found;
  };
  return { client, socket, opened };
}

test("one socket, of the hub's subprotocol", () => {
  const { client, opened } = connected();
  client.connect();
  expect(opened).toEqual([["ws://hub/ws", SUBPROTOCOL]]);
});

test("a message sent before the socket is open goes out once it is", () => {
  const { client, socket } = connected();
  const id = client.send("Hello");
  expect(client.state.turns).toMatchObject([{ key: id, text: "Hello", phase: "sending" }]);
  expect(socket().sent).toEqual([]);
  socket().open();
  expect(socket().sent).toEqual([{ type: "message", id, text: "Hello" }]);
});

test("message ids are fresh, and as long as the hub accepts", () => {
  const { client } = connected();
  const ids = [client.send("a"), client.send("a")];
  expect(new Set(ids).size).toBe(2);
  expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
});

test("a conversation: accepted, answered, stopped", () => {
  const { client, socket } = connected();
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
});

test("listeners hear of each commit, until they leave", () => {
  const { client, socket } = connected();
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

test("what breaks the protocol closes the socket and stays visible", () => {
  const { client, socket } = connected();
  socket().open();
  socket().hear({ type: "session.status", status: "active", elapsed_ms: 9, seq: 2 });
  expect(socket().closed).toBe(true);
  expect(client.state.fault).toBe("frame 2 came after frame 0");
  expect(client.send("a")).toBeNull();
  socket().hangUp(1005);
  expect(client.state).toMatchObject({ link: "closed", fault: "frame 2 came after frame 0" });
});

test("a new session does not hear the last one's socket", () => {
  const { client, socket, opened } = connected();
  socket().open();
  client.bye();
  expect(socket().sent.at(-1)).toEqual({ type: "bye" });
  socket().hear({ type: "session.ended", reason: "bye" });
  expect(client.send("too late")).toBeNull();
  client.connect();
  expect(opened).toHaveLength(2);
  socket(0).hangUp(1000);
  expect(client.state).toMatchObject({ link: "connecting", end: { code: null } });
  socket(1).open();
  expect(client.state.link).toBe("open");
});
