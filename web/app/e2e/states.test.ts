/** What becomes of sessions, and how a person goes on. Agents are real processes here, so that they can really die. */

import type { WebSocketRoute } from "playwright-core";
import { expect, test } from "vitest";
import { routeSockets, SOON, setStage } from "./stage.ts";

const stage = setStage();

test("an agent that dies is told, and a press asks the next one the same", async () => {
  const chat = await stage.openChat();
  await chat.say("Tell me a long story");
  await expect.poll(async () => (await chat.lengths()).length, SOON).toBeGreaterThan(3);
  for (const pid of stage.hub.agents()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // One of them went with another.
    }
  }
  await chat.end.getByText("The agent was lost").waitFor();
  await chat.turns.first().getByText("failed").waitFor();
  await chat.shoot("lost");
  await chat.end.getByRole("button", { name: "Try again" }).click();
  await chat.status("Answering").waitFor();
  await chat.page.getByText("A new agent from here on").waitFor();
  expect(await chat.turns.nth(1).textContent()).toContain("Tell me a long story");
  await chat.page.keyboard.press("Escape");
  await chat.isReady();
});

test("a session that expires leaves what was said, and the next message goes to a new agent", async () => {
  const brief = await stage.otherHub("--idle-ttl", "7s", "--warning", "6s", "--activity", "message");
  const chat = await stage.openChat(brief.address);
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  const warning = chat.page.getByRole("region", { name: "Time" });
  await warning.getByText(/Still there\? This conversation ends in \d s\./).waitFor();
  await chat.announced("Still there? This conversation ends in");
  await chat.input.press("Enter");
  await warning.waitFor({ state: "detached" });
  await warning.waitFor();
  await chat.shoot("expiring");
  await chat.end.getByText("Ended after a long silence").waitFor();
  await chat.announced("Ended after a long silence.");
  await chat.shoot("expired");
  await chat.say("And Paris?");
  await chat.page.getByText("A new agent from here on").waitFor();
  await chat.answer(1).waitFor();
  expect(await chat.turns.count()).toBe(2);
  await chat.shoot("anew");
  await chat.leave();
});

test("a lost network is told with how long the agent waits, and comes back by itself", async () => {
  const patient = await stage.otherHub("--grace", "40s");
  const lines: WebSocketRoute[] = [];
  let isUp = true;
  const chat = await stage.openChat(patient.address, (page) => routeSockets(page, lines, () => isUp));
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.isReady();
  isUp = false;
  await chat.offline(true);
  await lines.at(-1)?.close({ code: 4002 });
  const banner = chat.page.getByRole("region", { name: "Connection" });
  await banner.getByText("You are offline.").waitFor();
  await banner.getByText(/The agent waits for you: \d+ s more\./).waitFor();
  await chat.status("Reconnecting…").waitFor();
  await chat.shoot("offline");
  isUp = true;
  await chat.offline(false);
  await banner.waitFor({ state: "detached" });
  await chat.isReady();
  await chat.announced("Reconnected.");
  expect(await chat.turns.count()).toBe(1);
  await chat.leave();
});

test("an agent that cannot be started says why", async () => {
  const broken = await stage.otherHub("--agent-command", "/bin/false", "--sandbox", "none");
  const chat = await stage.openChat(broken.address);
  await chat.end.getByText("The agent could not be started").waitFor();
  await chat.shoot("not-started");
});

test("a hub that has no room says so, and takes the page in as soon as there is", async () => {
  const small = await stage.otherHub("--max-sessions", "1");
  const first = await stage.openChat(small.address);
  await first.isReady();
  const second = await stage.openChat(small.address);
  await second.page.getByRole("region", { name: "Connection" }).getByText("All agents are taken").waitFor();
  await second.shoot("full");
  await first.leave();
  await second.isReady();
  await second.leave();
});

test("who waits in line sees the place in it, and is answered when it is free", async () => {
  const small = await stage.otherHub("--max-sessions", "1", "--wait", "5m");
  const inside = await stage.openChat(small.address);
  await inside.isReady();
  const waiting = [];
  for (const place of ["You are next in line.", "You are number 2 in line.", "You are number 3 in line."]) {
    const chat = await stage.openChat(small.address);
    await chat.page.getByRole("region", { name: "Line" }).getByText(place).waitFor();
    await chat.announced(`All agents are taken. ${place}`);
    waiting.push(chat);
  }
  const [first, second, third] = waiting;
  await third?.status("Number 3 in line").waitFor();
  await third?.shoot("in-line");
  await second?.say("Hello");
  await second?.shoot("in-line-early");
  await first?.leave();
  await second?.announced("All agents are taken. You are next in line.");
  await third?.page.getByText("You are number 2 in line.").waitFor();
  await third?.leave();
  await inside.leave();
  await second?.answer(0).waitFor();
  await second?.isReady();
  expect(await second?.turns.count()).toBe(1);
  await second?.page.getByRole("region", { name: "Line" }).waitFor({ state: "detached" });
});

test("the session's panel tells its start, its time and its grace", async () => {
  const chat = await stage.openChat();
  await chat.isReady();
  await chat.status("Ready").click();
  const panel = chat.page.getByRole("region", { name: "Session" });
  const steps = panel.getByRole("list", { name: "Start of the agent" }).getByRole("listitem");
  expect(await steps.allTextContents()).toEqual([
    expect.stringMatching(/^Agent started\s*[\d.]+ m?s$/),
    expect.stringMatching(/^Agent ready\s*[\d.]+ m?s$/),
  ]);
  await panel.getByText(/^Ends at .+ at the latest/).waitFor();
  await panel.getByText("The agent waits 10 s for you").waitFor();
  await chat.shoot("panel");
  await chat.page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
});

test("a hub that asks for a key takes it from the page, and keeps it for the tab", async () => {
  const guarded = await stage.otherHub("MAYFLY_OPERATOR_KEY=the-key-of-this-hub");
  const chat = await stage.openChat(guarded.address);
  const key = chat.end.getByRole("textbox", { name: "The hub's key" });
  await chat.end.getByText("This hub asks for a key").waitFor();
  expect(guarded.agents()).toEqual([]);
  await chat.shoot("key");
  await key.fill("another key");
  await key.press("Enter");
  await chat.end.getByText("The hub did not take that key.").waitFor();
  await chat.shoot("key-refused");
  // The browser tells the console of each refusal.
  expect(chat.complaints.splice(0)).toEqual([expect.stringMatching("40[13]")]);
  await key.fill("the-key-of-this-hub");
  await key.press("Enter");
  await chat.isReady();
  await chat.say("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  // The next agent has its ticket without being asked for a key.
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await expect.poll(() => chat.turns.count(), SOON).toBe(0);
  await chat.isReady();
});
