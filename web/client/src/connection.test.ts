/** A client whose connection is lost, in all the ways there are; time is invented. */

import { describe, expect, test } from "vitest";
import { CHECK_MS } from "./heartbeat.ts";
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

  test("takes as long as it takes, on a connection that is asked for signs", () => {
    const { client, socket, sockets, platform } = tab();
    socket().hear(queued(2));
    const message = client.send("a");
    for (let ping = 0; ping < 20; ping++) {
      platform.pass(15_000);
      socket().hear({ type: "pong", t: 0 });
    }
    expect(client.state).toMatchObject({ link: "connecting", line: { position: 2 } });
    expect([sockets.length, socket().said]).toEqual([1, []]);
    expect(socket().sent.some(({ type }) => type === "ping")).toBe(true);
    socket().open();
    expect(client.state).toMatchObject({ link: "open", line: null });
    expect(socket().said).toEqual([{ type: "message", id: message, text: "a" }]);
  });

  test("ends with a connection that gives no sign, and begins anew on the next", () => {
    const { client, socket, sockets, platform } = tab();
    socket().hear(queued(2));
    platform.pass(50_000);
    expect(sockets.length).toBe(2);
    expect(client.state).toMatchObject({ link: "connecting", line: null });
    socket().hear(queued(7));
    expect(client.state.line?.position).toBe(7);
  });
});

describe("coming back", () => {
  test("asks for what comes after the head, with the token as a subprotocol", () => {
    const { client, socket, platform, text } = answering();
    socket().hangUp(1006);
    expect(client.state).toMatchObject({ link: "reconnecting", retryAtMs: platform.nowMs + 250 });
    platform.pass(250);
    expect(client.state).toMatchObject({ link: "reconnecting", retryAtMs: null });
    expect(socket()).toMatchObject({
      address: "ws://hub/ws/s_1?epoch=e%201&after=3",
      protocols: [SUBPROTOCOL, "mayfly.token.k-1"],
    });
    socket().resume(3);
    socket().record(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", head: 4, fault: null });
    expect(text()).toEqual([["Hallo"]]);
    expect(socket().said).toEqual([]);
  });

  test("drops what it has already", () => {
    const { client, socket, platform, text } = answering();
    socket().hangUp(4002);
    platform.pass(250);
    socket().resume(1);
    socket().record(accepted("t1", null));
    socket().record(delta("Hal"));
    socket().hear({ ...delta("lo you"), from: 4, seq: 7 });
    expect(client.state).toMatchObject({ head: 7, fault: null });
    expect(text()).toEqual([["Hallo you"]]);
  });

  test("says again what was not accepted, once per connection and under the same id, in order", () => {
    const { client, socket, platform } = answering();
    const second = client.send("b");
    socket().hangUp(1006);
    const third = client.send("c");
    expect(third).not.toBeNull();
    platform.pass(250);
    socket().resume(3);
    const unheard = [
      { type: "message", id: second, text: "b" },
      { type: "message", id: third, text: "c" },
    ];
    expect(socket().said).toEqual(unheard);
    socket().record(accepted("t2", second));
    socket().hangUp(1006);
    platform.pass(60_000);
    socket().resume(4);
    expect(socket().said).toEqual(unheard.slice(1));
    socket().record(accepted("t3", third));
    expect(client.state.turns.map(({ turn }) => turn)).toEqual(["t1", "t2", "t3"]);
  });

  test("stops what was stopped meanwhile", () => {
    const { client, socket, platform } = answering();
    socket().hangUp(1006);
    client.stop("t1");
    platform.pass(250);
    socket().resume(3);
    expect(socket().said).toEqual([{ type: "stop", turn: "t1" }]);
  });

  test("a snapshot takes the place of all, in one commit with what comes before it", () => {
    const { client, socket, platform, message, text } = answering();
    const second = client.send("b");
    const third = client.send("c");
    socket().hangUp(1006);
    platform.pass(250);
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
    expect(socket().said).toEqual([{ type: "message", id: third, text: "c" }]);
    socket().record(accepted("t3", third));
    expect(client.state).toMatchObject({ head: 10, fault: null });
  });

  test("waits as long as the hub asks", () => {
    const { client, sockets, socket, platform } = answering();
    socket().hear({
      type: "error",
      code: "quota.sockets",
      scope: "hub",
      retryable: true,
      retry_after_ms: 4_000,
      message: "full",
    });
    socket().hangUp(4004);
    expect(client.state).toMatchObject({
      retryAtMs: platform.nowMs + 4_250,
      end: { failure: { code: "quota.sockets" } },
    });
    platform.wake();
    expect(sockets).toHaveLength(1);
    client.retryNow();
    expect(sockets).toHaveLength(2);
  });

  test("goes on trying, also before there is a session", () => {
    const { client, sockets, socket, platform } = tab();
    platform.chance = 0;
    for (let failures = 0; failures < 100; failures++) {
      socket().hangUp(1006);
      platform.pass(0);
    }
    expect(sockets).toHaveLength(101);
    expect(client.state.link).toBe("connecting");
    socket().open();
    expect(client.state.link).toBe("open");
  });

  test("gives up an attempt that nobody answers", () => {
    const { sockets, socket, platform } = tab();
    platform.pass(10_000);
    expect(socket(0).closed).toBe(true);
    platform.pass(250);
    expect(sockets).toHaveLength(2);
  });

  test.each([1000, 1005, 4500, 4501, 4502, 4506, 4507, 4509])("does not happen after %i", (code) => {
    const { client, sockets, socket, platform } = answering();
    socket().hangUp(code);
    platform.wake();
    platform.pass(120_000);
    client.retryNow();
    expect(client.state).toMatchObject({ link: "closed", retryAtMs: null, end: { code } });
    expect(sockets).toHaveLength(1);
  });

  test("does not happen after the session has ended, whatever the socket says", () => {
    const { client, socket, sockets, platform } = answering();
    socket().hear({ type: "session.ended", reason: "idle" });
    socket().hangUp(1006);
    platform.pass(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { reason: "idle" } });
    expect(sockets).toHaveLength(1);
  });

  test("does not happen when a person has ended it meanwhile", () => {
    const { client, socket, sockets, platform } = answering();
    socket().hangUp(1006);
    client.bye();
    platform.pass(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 1000 } });
    expect(sockets).toHaveLength(1);
    expect(platform.kept.has("mayfly.session")).toBe(false);
  });

  test("does not happen when the connection is lost that was to tell the hub so", () => {
    const { client, socket, sockets, platform } = answering();
    client.bye();
    expect(socket().sent.at(-1)).toEqual({ type: "bye" });
    socket().hangUp(1006);
    platform.pass(60_000);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 1000 } });
    expect(sockets).toHaveLength(1);
    expect(platform.kept.has("mayfly.session")).toBe(false);
  });
});

test("another answer that the hub may not have heard of is asked for again", () => {
  const { client, socket, platform } = answering();
  socket().record({ type: "turn.done", turn: "t1", reason: "complete" });
  client.regenerate();
  socket().hangUp(1006);
  platform.pass(250);
  socket().resume(4);
  expect(socket().said.at(-1)).toEqual({ type: "regenerate", turn: "t1" });
});

describe("a dead connection", () => {
  test("is one that leaves two pings without an answer", () => {
    const { client, sockets, socket, platform } = answering();
    platform.pass(2 * PING_MS);
    expect(socket().pings).toHaveLength(2);
    expect(sockets).toHaveLength(1);
    platform.pass(PING_MS);
    expect(socket(0).closed).toBe(true);
    expect(sockets).toHaveLength(2);
    expect(client.state.link).toBe("reconnecting");
    socket(0).hangUp(1006);
    expect(sockets).toHaveLength(2);
  });

  test("is not one on which anything comes", () => {
    const { sockets, socket, platform } = answering();
    for (let beats = 0; beats < 6; beats++) {
      platform.pass(PING_MS);
      const t = socket().pings.at(-1)?.t;
      socket().hear(beats % 2 === 0 ? { type: "pong", t } : { type: "data-other" });
    }
    expect(sockets).toHaveLength(1);
    expect(socket().pings).toHaveLength(6);
  });

  test("is not looked for while the page is hidden", () => {
    const { sockets, socket, platform } = answering();
    platform.hidden = true;
    platform.pass(10 * PING_MS);
    expect(socket().pings).toEqual([]);
    expect(sockets).toHaveLength(1);
  });

  test("is found soon after the page is back", () => {
    const { client, sockets, socket, platform } = answering();
    platform.wake();
    platform.wake();
    expect(socket().pings).toEqual([{ type: "ping", t: platform.nowMs }]);
    socket().record(delta("what had waited since before"));
    platform.pass(CHECK_MS);
    expect(sockets).toHaveLength(2);
    expect(client.state.link).toBe("reconnecting");
  });

  test("was none if the answer comes in time", () => {
    const { sockets, socket, platform } = answering();
    platform.wake();
    socket().hear({ type: "pong", t: platform.nowMs });
    platform.pass(CHECK_MS);
    expect(sockets).toHaveLength(1);
  });

  test("is tried again at once when the page is back", () => {
    const { sockets, socket, platform } = answering();
    socket().hangUp(1006);
    platform.wake();
    expect(sockets).toHaveLength(2);
    platform.pass(250);
    expect(sockets).toHaveLength(2);
  });
});
