/** A tab with a connecting client on a fake platform. */

import { MayflyClient, type Options } from "../client.ts";
import { FakePlatform, FakeSocket } from "./platform.ts";

export const active = { type: "session.status", status: "active", elapsed_ms: 9 };
export const accepted = (turn: string, message: string | null) => ({
  type: "turn.accepted",
  turn,
  message,
  position: 0,
  text: "a",
});
export const delta = (text: string) => ({ type: "text-delta", turn: "t1", id: "x0", delta: text });

/** Opens a tab. The platform of an earlier tab makes it that tab after a reload. */
export function tab({
  platform = new FakePlatform(),
  ...options
}: { platform?: FakePlatform } & Pick<Options, "name" | "session" | "ticket" | "transcript"> = {}) {
  const sockets: FakeSocket[] = [];
  const client = new MayflyClient({
    ...options,
    url: "ws://hub/ws",
    screen: null,
    platform,
    openSocket: (address, protocols) => {
      const socket = new FakeSocket(address, protocols);
      sockets.push(socket);
      return socket;
    },
  });
  client.connect();
  const socket = (index = sockets.length - 1): FakeSocket => {
    const found = sockets[index];
    if (found === undefined) {
      throw new Error(`socket ${index} was not opened`);
    }
    return found;
  };
  return { client, platform, sockets, socket };
}

/** A tab in the middle of an answer. */
export function answering() {
  const it = tab();
  it.socket().open();
  const message = it.client.send("a");
  it.socket().replayable(active);
  it.socket().replayable(accepted("t1", message));
  it.socket().replayable(delta("Hal"));
  const text = () =>
    it.client.state.turns.map(({ parts }) => parts.map((part) => "text" in part && part.text));
  return { ...it, message, text };
}
