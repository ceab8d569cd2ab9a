/** What a tab keeps: over a reload, after the session's end, and when it is duplicated. */

import { describe, expect, test } from "vitest";
import { SUBPROTOCOL } from "./protocol.ts";
import { accepted, active, answering, delta, tab } from "./testing/tab.ts";

describe("a tab", () => {
  test("that is reloaded is in the same session, told anew", () => {
    const { platform } = answering();
    const { client, socket } = tab({ platform });
    expect(socket()).toMatchObject({
      address: "ws://hub/ws/s_1",
      protocols: [SUBPROTOCOL, "mayfly.token.k-1"],
    });
    expect(client.state).toMatchObject({ link: "connecting", turns: [] });
    socket().attach(
      3,
      { ...active, seq: 1 },
      { ...accepted("t1", "m"), seq: 2 },
      { ...delta("Hal"), seq: 3 },
    );
    socket().record(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", head: 4, turns: [{ parts: [{ text: "Hallo" }] }] });
    socket().hangUp(1006);
    platform.pass(250);
    expect(socket().address).toBe("ws://hub/ws/s_1?epoch=e%201&after=4");
  });

  test.each([4500, 4501, 4502, 4506])("whose session is gone (%i) begins a new one, untold", (code) => {
    const { platform } = answering();
    const { client, socket } = tab({ platform });
    const id = client.send("Hello again");
    const words: unknown[] = [];
    client.subscribe(() => words.push(client.state.link));
    socket().hear({ type: "error", code: "session.gone", scope: "hub", retryable: false, message: "gone" });
    socket().hangUp(code);
    expect(socket()).toMatchObject({ address: "ws://hub/ws", protocols: [SUBPROTOCOL] });
    expect(client.state.end.failure).toBeNull();
    socket().open({ session: "s_2", token: "k-2" });
    expect(new Set(words)).toEqual(new Set(["connecting", "open"]));
    expect(socket().said).toEqual([{ type: "message", id, text: "Hello again" }]);
    expect(platform.kept.get("mayfly.session")).toContain("s_2");
  });

  test.each([1000, 4500, 4501, 4502, 4506, 4508, 4509])("forgets a session that is over (%i)", (code) => {
    const { socket, platform } = answering();
    socket().hangUp(code);
    expect(platform.kept.has("mayfly.session")).toBe(false);
  });

  test("that another one has replaced can take the session back", () => {
    const { client, socket, platform } = answering();
    socket().hangUp(4507);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 4507 } });
    client.connect();
    expect(socket().address).toBe("ws://hub/ws/s_1?epoch=e%201&after=3");
    socket().resume(3);
    socket().record(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", turns: [{ parts: [{ text: "Hallo" }] }] });
    socket().hangUp(4507);
    client.begin();
    expect(socket().address).toBe("ws://hub/ws");
    expect(platform.kept.has("mayfly.session")).toBe(false);
  });

  test("that keeps junk begins a new session", () => {
    const { platform } = tab();
    for (const junk of ["{", "7", '{"session":"s 1","token":"k"}']) {
      platform.kept.set("mayfly.session", junk);
      expect(tab({ platform }).socket().address).toBe("ws://hub/ws");
    }
  });
});
