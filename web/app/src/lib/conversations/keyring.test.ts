import { HubError } from "@mayfly/client/rest";
import { expect, test } from "vitest";
import { Keyring } from "./keyring.ts";

/** The part of `Storage` that the keyring uses. */
function storage() {
  const stored = new Map<string, string>();
  return {
    stored,
    getItem: (name: string) => stored.get(name) ?? null,
    setItem: (name: string, value: string) => void stored.set(name, value),
    removeItem: (name: string) => void stored.delete(name),
  } as unknown as Storage & { stored: Map<string, string> };
}

const refusal = (status: number) => new HubError("no", null, status, null);

test("without a key no ticket is minted", async () => {
  const keyring = new Keyring(storage(), () => Promise.reject(new Error("asked")));
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(false);
});

test("the key is stored and each ticket is fresh", async () => {
  const stored = storage();
  let minted = 0;
  const mint = async (key: string) => `${key}-${++minted}`;
  new Keyring(stored, mint).setKey("key");
  const keyring = new Keyring(stored, mint);
  expect([await keyring.ticket(), await keyring.ticket()]).toEqual(["key-1", "key-2"]);
});

test.each([401, 403])("a key refused with %d is deleted", async (status) => {
  const stored = storage();
  const keyring = new Keyring(stored, () => Promise.reject(refusal(status)));
  keyring.setKey("key");
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(true);
  expect(stored.stored.size).toBe(0);
});

test("a late refusal does not delete a newer key", async () => {
  const refuse: (() => void)[] = [];
  const mint = (key: string) =>
    key === "good"
      ? Promise.resolve("ticket")
      : new Promise<string>((_, reject) => refuse.push(() => reject(refusal(403))));
  const keyring = new Keyring(storage(), mint);
  keyring.setKey("bad");
  const late = keyring.ticket();
  keyring.setKey("good");
  refuse[0]?.();
  expect(await late).toBe("ticket");
  expect(keyring.isRefused).toBe(false);
});

test("a failing hub does not delete the key", async () => {
  const keyring = new Keyring(storage(), () => Promise.reject(refusal(503)));
  keyring.setKey("key");
  await expect(keyring.ticket()).rejects.toThrow("no");
  expect(keyring.isRefused).toBe(false);
});
