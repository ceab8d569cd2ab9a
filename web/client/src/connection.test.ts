/** Tests of lost connections, with a fake clock. */

import { describe, expect, test } from "vitest";
import { PROBE_TIMEOUT_MS } from "./heartbeat.ts";
import { SUBPROTOCOL } from "./protocol.ts";
import { accepted, answering, delta, tab } from "./testing/tab.ts";

const PING_MS = 20_000;

describe("waiting in line", () => {
  const queued = (position: number) => ({
    type: "session.status",
    status: "creating",
    step: "queued",
    position,
    elapsed_ms: 0,
  });

  test("lasts until a step of the start follows", () => {
    const { client, socket, sockets, platform } = tab();
    socket().open();
    socket().receive(queued(2));
    const message = client.send("a");
    for (let ping = 0; ping < 20; ping++) {
      platform.advance(15_000);
      socket().receive({ type: "pong", t: 0 });
    }
    expect(client.state).toMatchObject({ link: "open", line: { position: 2 } });
    expect([sockets.length, socket().requests]).toEqual([1, [{ type: "message", id: message, text: "a" }]]);
    socket().replayable({ type: "session.status", status: "creating", step: "starting", elapsed_ms: 0 });
    expect(client.state).toMatchObject({ link: "open", line: null });
  });

  test("starts again in a new session with the same messages after the connection was lost", () => {
    const { client, socket, sockets, platform } = tab();
    socket().open();
    socket().receive(queued(2));
    const message = client.send("a");
    socket().replayable(accepted("t1", message));
    platform.advance(3 * PING_MS);
    expect(sockets.length).toBe(2);
    expect(client.state).toMatchObject({ link: "connecting", line: null, session: null });
    expect(socket().address).toBe("ws://hub/ws");
    socket().open();
    socket().receive(queued(7));
    expect(client.state.line?.position).toBe(7);
    expect(socket().requests).toEqual([{ type: "message", id: message, text: "a" }]);
  });

  test("leads to a new attempt when the hub refuses the session", () => {
    const { client, socket, platform } = tab();
    socket().open();
    socket().receive(queued(1));
    const message = client.send("a");
    socket().replayable(accepted("t1", message));
    socket().replayable({ type: "turn.done", turn: "t1", reason: "expired" });
    const refused = { type: "error", code: "quota.sessions", scope: "hub", retryable: true };
    socket().receive({ ...refused, retry_after_ms: 5_000, message: "full" });
    socket().disconnect(4004);
    expect(client.state).toMatchObject({ link: "connecting", session: null, end: { code: 4004 } });
    platform.advance(10_000);
    socket().open();
    expect(socket().requests).toEqual([{ type: "message", id: message, text: "a" }]);
  });
});

describe("reconnect", () => {
  test("requests the frames after head and sends the token as a subprotocol", () => {
    const { client, socket, platform, text } = answering();
    socket().disconnect(1006);
    expect(client.state).toMatchObject({ link: "reconnecting", retryAtMs: platform.nowMs + 250 });
    platform.advance(250);
    expect(client.state).toMatchObject({ link: "reconnecting", retryAtMs: null });
    expect(socket()).toMatchObject({
      address: "ws://hub/ws/s_1?epoch=e%201&after=3",
      protocols: [SUBPROTOCOL, "mayfly.token.k-1"],
    });
    socket().resume(3);
    socket().replayable(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", head: 4, fault: null });
    expect(text()).toEqual([["Hallo"]]);
    expect(socket().requests).toEqual([]);
  });

  test("drops frames that it already has", () => {
    const { client, socket, platform, text } = answering();
    socket().disconnect(4002);
    platform.advance(250);
    socket().resume(1);
    socket().replayable(accepted("t1", null));
    socket().replayable(delta("Hal"));
    socket().receive({ ...delta("lo you"), from: 4, seq: 7 });
    expect(client.state).toMatchObject({ head: 7, fault: null });
    expect(text()).toEqual([["Hallo you"]]);
  });

  test("resends unaccepted messages once per connection, in order and with the same ids", () => {
    const { client, socket, platform } = answering();
    const second = client.send("b");
    socket().disconnect(1006);
    const third = client.send("c");
    expect(third).not.toBeNull();
    platform.advance(250);
    socket().resume(3);
    const unaccepted = [
      { type: "message", id: second, text: "b" },
      { type: "message", id: third, text: "c" },
    ];
    expect(socket().requests).toEqual(unaccepted);
    socket().replayable(accepted("t2", second));
    socket().disconnect(1006);
    platform.advance(60_000);
    socket().resume(4);
    expect(socket().requests).toEqual(unaccepted.slice(1));
    socket().replayable(accepted("t3", third));
    expect(client.state.turns.map(({ turn }) => turn)).toEqual(["t1", "t2", "t3"]);
  });

  test("sends a stop that was requested while disconnected", () => {
    const { client, socket, platform } = answering();
    socket().disconnect(1006);
    client.stop("t1");
    platform.advance(250);
    socket().resume(3);
    expect(socket().requests).toEqual([{ type: "stop", turn: "t1" }]);
  });

  test("applies session.ready and the snapshot in one commit", () => {
    const { client, socket, platform, message, text } = answering();
    const second = client.send("b");
    const third = client.send("c");
    socket().disconnect(1006);
    platform.advance(250);
    let commits = 0;
    client.subscribe(() => commits++);
    socket().attach(
      9,
      { ...accepted("t1", message), seq: 2 },
      { ...delta("Hallo"), from: 3, seq: 5 },
      { type: "turn.done", turn: "t1", reason: "complete", seq: 6 },
      { ...accepted("t2", second), seq: 7 },
    );
    expect(commits).toBe(1);
    expect(client.state).toMatchObject({ link: "open", head: 9, fault: null });
    expect(text()).toEqual([["Hallo"], [], []]);
    expect(socket().requests).toEqual([{ type: "message", id: third, text: "c" }]);
    socket().replayable(accepted("t3", third));
    expect(client.state).toMatchObject({ head: 10, fault: null });
  });

  test("waits for retry_after_ms", () => {
    const { client, sockets, socket, platform } = answering();
    socket().receive({
      type: "error",
      code: "quota.sockets",
      scope: "hub",
      retryable: true,
      retry_after_ms: 4_000,
      message: "full",
    });
    socket().disconnect(4004);
    expect(client.state).toMatchObject({
      retryAtMs: platform.nowMs + 4_250,
      end: { failure: { code: "quota.sockets" } },
    });
    platform.wake();
    expect(sockets).toHaveLength(1);
    client.retryNow();
    expect(sockets).toHaveLength(2);
  });

  test("never gives up, even without a session", () => {
    const { client, sockets, socket, platform } = tab();
    platform.randomValue = 0;
    for (let failures = 0; failures < 100; failures++) {
      socket().disconnect(1006);
      platform.advance(0);
    }
    expect(sockets).toHaveLength(101);
    expect(client.state.link).toBe("connecting");
    socket().open();
    expect(client.state.link).toBe("open");
  });

  test("abandons an attempt without an answer", () => {
    const { sockets, socket, platform } = tab();
    platform.advance(10_000);
    expect(socket(0).closed).toBe(true);
    platform.advance(250);
    expect(sockets).toHaveLength(2);
  });

  test.each([1000, 1005, 4500, 4501, 4502, 4506, 4507, 4509])("does not follow close code %i", (code) => {
    const { client, sockets, socket, platform } = answering();
    socket().disconnect(code);
    platform.wake();
    platform.advance(120_000);
    client.retryNow();
    expect(client.state).toMatchObject({ link: "closed", retryAtMs: null, end: { code } });
    expect(sockets).toHaveLength(1);
  });

  test("does not follow the end of the session, whatever the close code", () => {
    const { client, socket, sockets, platform } = answering();
    socket().receive({ type: "session.ended", reason: "idle" });
    socket().disconnect(1006);
    platform.advance(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { reason: "idle" } });
    expect(sockets).toHaveLength(1);
  });

  test("does not follow bye while disconnected", () => {
    const { client, socket, sockets, platform } = answering();
    socket().disconnect(1006);
    client.bye();
    platform.advance(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 1000 } });
    expect(sockets).toHaveLength(1);
    expect(platform.stored.has("mayfly.session")).toBe(false);
  });

  test("does not follow bye on a connection that is then lost", () => {
    const { client, socket, sockets, platform } = answering();
    client.bye();
    expect(socket().sent.at(-1)).toEqual({ type: "bye" });
    socket().disconnect(1006);
    platform.advance(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 1000 } });
    expect(sockets).toHaveLength(1);
    expect(platform.stored.has("mayfly.session")).toBe(false);
  });
});

test("regenerate is sent again after a lost connection", () => {
  const { client, socket, platform } = answering();
  socket().replayable({ type: "turn.done", turn: "t1", reason: "complete" });
  client.regenerate();
  socket().disconnect(1006);
  platform.advance(250);
  socket().resume(4);
  expect(socket().requests.at(-1)).toEqual({ type: "regenerate", turn: "t1" });
});

describe("heartbeat", () => {
  test("two unanswered pings end the connection", () => {
    const { client, sockets, socket, platform } = answering();
    platform.advance(2 * PING_MS);
    expect(socket().pings).toHaveLength(2);
    expect(sockets).toHaveLength(1);
    platform.advance(PING_MS);
    expect(socket(0).closed).toBe(true);
    expect(sockets).toHaveLength(2);
    expect(client.state.link).toBe("reconnecting");
    socket(0).disconnect(1006);
    expect(sockets).toHaveLength(2);
  });

  test("any frame keeps the connection", () => {
    const { sockets, socket, platform } = answering();
    for (let beats = 0; beats < 6; beats++) {
      platform.advance(PING_MS);
      const t = socket().pings.at(-1)?.t;
      socket().receive(beats % 2 === 0 ? { type: "pong", t } : { type: "data-other" });
    }
    expect(sockets).toHaveLength(1);
    expect(socket().pings).toHaveLength(6);
  });

  test("a hidden page sends no pings", () => {
    const { sockets, socket, platform } = answering();
    platform.hidden = true;
    platform.advance(10 * PING_MS);
    expect(socket().pings).toEqual([]);
    expect(sockets).toHaveLength(1);
  });

  test("a probe finds a dead connection after the page is shown", () => {
    const { client, sockets, socket, platform } = answering();
    platform.wake();
    platform.wake();
    expect(socket().pings).toEqual([{ type: "ping", t: platform.nowMs }]);
    socket().replayable(delta("buffered before the machine slept"));
    platform.advance(PROBE_TIMEOUT_MS);
    expect(sockets).toHaveLength(2);
    expect(client.state.link).toBe("reconnecting");
  });

  test("an answered probe keeps the connection", () => {
    const { sockets, socket, platform } = answering();
    platform.wake();
    socket().receive({ type: "pong", t: platform.nowMs });
    platform.advance(PROBE_TIMEOUT_MS);
    expect(sockets).toHaveLength(1);
  });

  test("showing the page reconnects immediately", () => {
    const { sockets, socket, platform } = answering();
    socket().disconnect(1006);
    platform.wake();
    expect(sockets).toHaveLength(2);
    platform.advance(250);
    expect(sockets).toHaveLength(2);
  });
});
