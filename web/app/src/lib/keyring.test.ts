import { HubError } from "@mayfly/client/rest";
import { expect, test } from "vitest";
import { Keyring } from "./keyring.ts";

/** As much of a storage as a keyring uses. */
function storage() {
  const kept = new Map<string, string>();
  return {
    kept,
    getItem: (name: string) => kept.get(name) ?? null,
    setItem: (name: string, value: string) => void kept.set(name, value),
    removeItem: (name: string) => void kept.delete(name),
  } as unknown as Storage & { kept: Map<string, string> };
}

const refusal = (status: number) => new HubError("no", null, status, null);

test("without a key there is no ticket, and nobody is asked", async () => {
  const keyring = new Keyring(storage(), () => Promise.reject(new Error("asked")));
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(false);
});

test("a key is kept for the tab, and each ticket is another", async () => {
  const kept = storage();
  let minted = 0;
  const mint = async (key: string) => `${key}-${++minted}`;
  new Keyring(kept, mint).give("key");
  const keyring = new Keyring(kept, mint);
  expect([await keyring.ticket(), await keyring.ticket()]).toEqual(["key-1", "key-2"]);
});

test.each([401, 403])("a key that is refused with %d is forgotten", async (status) => {
  const kept = storage();
  const keyring = new Keyring(kept, () => Promise.reject(refusal(status)));
  keyring.give("key");
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(true);
  expect(kept.kept.size).toBe(0);
});

test("a key that is refused late does not take the one that came after it along", async () => {
  const refuse: (() => void)[] = [];
  const mint = (key: string) =>
    key === "good"
      ? Promise.resolve("ticket")
      : new Promise<string>((_, reject) => refuse.push(() => reject(refusal(403))));
  const keyring = new Keyring(storage(), mint);
  keyring.give("bad");
  const late = keyring.ticket();
  keyring.give("good");
  refuse[0]?.();
  expect(await late).toBe("ticket");
  expect(keyring.isRefused).toBe(false);
});

test("a hub that cannot say keeps it", async () => {
  const keyring = new Keyring(storage(), () => Promise.reject(refusal(503)));
  keyring.give("key");
  await expect(keyring.ticket()).rejects.toThrow("no");
  expect(keyring.isRefused).toBe(false);
});
