/** Ends and interruptions of sessions and the next steps, with real agent processes. */

import type { WebSocketRoute } from "playwright-core";
import { expect, test } from "vitest";
import { routeSockets, setUpTestPage } from "./test-page.ts";

const testPage = setUpTestPage();

/** Sends a signal to all processes of the hub's agents. */
function signalAgents(signal: NodeJS.Signals): void {
  for (const pid of testPage.hub.agents()) {
    try {
      process.kill(pid, signal);
    } catch {
      // The process exited together with its parent.
    }
  }
}

test("after a lost agent the message can be sent to a new one", async () => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  // A stopped agent cannot answer before it is killed.
  signalAgents("SIGSTOP");
  await chat.send("Tell me a long story");
  await chat.status("Answering").waitFor();
  signalAgents("SIGKILL");
  await chat.endCard.getByText("The agent stopped unexpectedly").waitFor();
  await chat.turns.first().getByText("failed").waitFor();
  await chat.screenshot("lost");
  await chat.endCard.getByRole("button", { name: "Try again" }).click();
  await chat.page.getByText("New agent, which does not know the messages above").waitFor();
  expect(await chat.turns.nth(1).textContent()).toContain("Tell me a long story");
  await chat.page.keyboard.press("Escape");
  await chat.waitUntilReady();
});

test("the warning before the end can be dismissed with Enter", async () => {
  const routes: WebSocketRoute[] = [];
  const chat = await testPage.openChat(undefined, (page) => routeSockets(page, routes));
  await chat.waitUntilReady();
  // The test sends the warning in place of the hub, so that it stays for as long as the test needs.
  const warn = () =>
    routes[0]?.send('{"type":"session.expiring","cause":"idle","remaining_ms":600000,"can_extend":true}');
  warn();
  const warning = chat.page.getByRole("region", { name: "Time" });
  await warning.getByText(/Still there\? This conversation ends in \d+ s\./).waitFor();
  await chat.waitForAnnouncement("Still there? This conversation ends in");
  await chat.input.press("Enter");
  await warning.waitFor({ state: "detached" });
  warn();
  await warning.waitFor();
  await chat.screenshot("expiring");
});

test("after an idle session expired the next message starts a new agent", async () => {
  const brief = await testPage.startHub("--idle-ttl", "3s", "--activity", "message");
  const chat = await testPage.openChat(brief.address);
  await chat.send("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.endCard.getByText("Conversation timed out").waitFor();
  await chat.waitForAnnouncement("Conversation timed out.");
  await chat.screenshot("expired");
  await chat.send("And Paris?");
  await chat.page.getByText("New agent, which does not know the messages above").waitFor();
  await chat.answer(1).waitFor();
  expect(await chat.turns.count()).toBe(2);
  await chat.screenshot("new-agent");
  await chat.leave();
});

test("an offline page shows the grace period and reconnects automatically", async () => {
  const patient = await testPage.startHub("--grace", "10m");
  const routes: WebSocketRoute[] = [];
  let isUp = true;
  const chat = await testPage.openChat(patient.address, (page) => routeSockets(page, routes, () => isUp));
  await chat.send("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  await chat.waitUntilReady();
  isUp = false;
  await chat.setOffline(true);
  await routes.at(-1)?.close({ code: 4002 });
  const banner = chat.page.getByRole("region", { name: "Connection" });
  await banner.getByText("You are offline.").waitFor();
  await banner.getByText(/The agent waits for \d+ more seconds\./).waitFor();
  await chat.status("Reconnecting…").waitFor();
  await chat.screenshot("offline");
  isUp = true;
  await chat.setOffline(false);
  await banner.waitFor({ state: "detached" });
  await chat.waitUntilReady();
  await chat.waitForAnnouncement("Reconnected.");
  expect(await chat.turns.count()).toBe(1);
  await chat.leave();
});

test("an agent that cannot be started has an end card", async () => {
  const broken = await testPage.startHub("--agent-command", "/bin/false", "--sandbox", "none");
  const chat = await testPage.openChat(broken.address);
  await chat.endCard.getByText("The agent could not be started").waitFor();
  await chat.screenshot("not-started");
});

test("a full hub is shown and the page connects when a session ends", async () => {
  const small = await testPage.startHub("--max-sessions", "1");
  const first = await testPage.openChat(small.address);
  await first.waitUntilReady();
  const second = await testPage.openChat(small.address);
  await second.page.getByRole("region", { name: "Connection" }).getByText("All agents are in use").waitFor();
  await second.screenshot("full");
  await first.leave();
  await second.waitUntilReady();
  await second.leave();
});

test("the line shows each place and ends with an answer", async () => {
  const small = await testPage.startHub("--max-sessions", "1", "--wait", "5m");
  const inside = await testPage.openChat(small.address);
  await inside.waitUntilReady();
  const waiting = [];
  for (const place of ["You are next in line.", "You are number 2 in line.", "You are number 3 in line."]) {
    const chat = await testPage.openChat(small.address);
    await chat.page.getByRole("region", { name: "Line" }).getByText(place).waitFor();
    await chat.waitForAnnouncement(`All agents are in use. ${place}`);
    waiting.push(chat);
  }
  const [first, second, third] = waiting;
  await third?.status("Number 3 in line").waitFor();
  await third?.screenshot("in-line");
  await second?.send("Hello");
  await second?.screenshot("in-line-early");
  await first?.leave();
  await second?.waitForAnnouncement("All agents are in use. You are next in line.");
  await third?.page.getByText("You are number 2 in line.").waitFor();
  await third?.leave();
  await inside.leave();
  await second?.answer(0).waitFor();
  await second?.waitUntilReady();
  expect(await second?.turns.count()).toBe(1);
  await second?.page.getByRole("region", { name: "Line" }).waitFor({ state: "detached" });
});

test("the session panel shows start steps, deadline and grace period", async () => {
  const chat = await testPage.openChat();
  await chat.waitUntilReady();
  await chat.status("Ready").click();
  const panel = chat.page.getByRole("region", { name: "Session" });
  const steps = panel.getByRole("list", { name: "Start of the agent" }).getByRole("listitem");
  expect(await steps.allTextContents()).toEqual([
    expect.stringMatching(/^Agent started\s*[\d.]+ m?s$/),
    expect.stringMatching(/^Agent ready\s*[\d.]+ m?s$/),
  ]);
  await panel.getByText(/^Ends at .+ at the latest/).waitFor();
  await panel.getByText("The agent waits 2 min for you").waitFor();
  await chat.screenshot("panel");
  await chat.page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
});

test("a key entered on the page is stored for the tab", async () => {
  const guarded = await testPage.startHub("MAYFLY_OPERATOR_KEY=the-key-of-this-hub");
  const chat = await testPage.openChat(guarded.address);
  const key = chat.endCard.getByRole("textbox", { name: "The hub's key" });
  await chat.endCard.getByText("This hub requires a key").waitFor();
  expect(guarded.agents()).toEqual([]);
  await chat.screenshot("key");
  await key.fill("another key");
  await key.press("Enter");
  await chat.endCard.getByText("The hub refused this key.").waitFor();
  await chat.screenshot("key-refused");
  // The browser logs each refused request to the console.
  expect(chat.problems.splice(0)).toEqual([expect.stringMatching("40[13]")]);
  await key.fill("the-key-of-this-hub");
  await key.press("Enter");
  await chat.waitUntilReady();
  await chat.send("Compare Oslo and Rome");
  await chat.answer(0).waitFor();
  // The next conversation uses the stored key.
  await chat.page.getByRole("button", { name: "New conversation", exact: true }).click();
  await expect.poll(() => chat.turns.count()).toBe(0);
  await chat.waitUntilReady();
});
