import { HubError } from "@mayfly/client/rest";
import { expect, test } from "vitest";
import { Keyring } from "./keyring.ts";

/** The part of `Storage` that the keyring uses. */
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

test("without a key no ticket is minted", async () => {
  const keyring = new Keyring(storage(), () => Promise.reject(new Error("asked")));
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(false);
});

test("the key is stored and each ticket is fresh", async () => {
  const kept = storage();
  let minted = 0;
  const mint = async (key: string) => `${key}-${++minted}`;
  new Keyring(kept, mint).setKey("key");
  const keyring = new Keyring(kept, mint);
  expect([await keyring.ticket(), await keyring.ticket()]).toEqual(["key-1", "key-2"]);
});

test.each([401, 403])("a key refused with %d is deleted", async (status) => {
  const kept = storage();
  const keyring = new Keyring(kept, () => Promise.reject(refusal(status)));
  keyring.setKey("key");
  expect(await keyring.ticket()).toBeNull();
  expect(keyring.isRefused).toBe(true);
  expect(kept.kept.size).toBe(0);
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
