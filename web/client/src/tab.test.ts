/** Tests of a tab's stored session: reload, end and takeover. */

import { describe, expect, test } from "vitest";
import { SUBPROTOCOL } from "./protocol.ts";
import { accepted, active, answering, delta, tab } from "./testing/tab.ts";

describe("a tab", () => {
  test("resumes its session after a reload", () => {
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
    socket().replayable(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", head: 4, turns: [{ parts: [{ text: "Hallo" }] }] });
    socket().disconnect(1006);
    platform.advance(250);
    expect(socket().address).toBe("ws://hub/ws/s_1?epoch=e%201&after=4");
  });

  test.each([4500, 4501, 4502, 4506])(
    "starts a new session silently if the stored one is gone (%i)",
    (code) => {
      const { platform } = answering();
      const { client, socket } = tab({ platform });
      const id = client.send("Hello again");
      const links: unknown[] = [];
      client.subscribe(() => links.push(client.state.link));
      socket().receive({
        type: "error",
        code: "session.gone",
        scope: "hub",
        retryable: false,
        message: "gone",
      });
      socket().disconnect(code);
      expect(socket()).toMatchObject({ address: "ws://hub/ws", protocols: [SUBPROTOCOL] });
      expect(client.state.end.failure).toBeNull();
      socket().open({ session: "s_2", token: "k-2" });
      expect(new Set(links)).toEqual(new Set(["connecting", "open"]));
      expect(socket().requests).toEqual([{ type: "message", id, text: "Hello again" }]);
      expect(platform.stored.get("mayfly.session")).toContain("s_2");
    },
  );

  test.each([1000, 4500, 4501, 4502, 4506, 4508, 4509])("deletes an ended session (%i)", (code) => {
    const { socket, platform } = answering();
    socket().disconnect(code);
    expect(platform.stored.has("mayfly.session")).toBe(false);
  });

  test("can take back a session from the tab that replaced it", () => {
    const { client, socket, platform } = answering();
    socket().disconnect(4507);
    expect(client.state).toMatchObject({ link: "closed", end: { code: 4507 } });
    client.connect();
    expect(socket().address).toBe("ws://hub/ws/s_1?epoch=e%201&after=3");
    socket().resume(3);
    socket().replayable(delta("lo"));
    expect(client.state).toMatchObject({ link: "open", turns: [{ parts: [{ text: "Hallo" }] }] });
    socket().disconnect(4507);
    client.begin();
    expect(socket().address).toBe("ws://hub/ws");
    expect(platform.stored.has("mayfly.session")).toBe(false);
  });

  test("ignores invalid stored data", () => {
    const { platform } = tab();
    for (const junk of ["{", "7", '{"session":"s 1","token":"k"}']) {
      platform.stored.set("mayfly.session", junk);
      expect(tab({ platform }).socket().address).toBe("ws://hub/ws");
    }
  });
});
