/** A real hub for one test file: started on a free port, watched through /proc, ended with the tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const BINARY = resolve(process.env.MAYFLY_BIN ?? join(import.meta.dirname, "../../../target/debug/mayfly"));
const START_TIMEOUT_MS = 30_000;

export class Hub {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #dataDir: string;

  private constructor(address: string, process: ChildProcess, dataDir: string) {
    this.address = address;
    this.#process = process;
    this.#dataDir = dataDir;
  }

  /**
   * Starts a hub, with these flags beyond those that give it an address and a directory of its own. A word with a `=` is
   * for its environment.
   */
  static async start(...words: string[]): Promise<Hub> {
    const flags = words.filter((word) => !isVariable(word));
    const variables = Object.fromEntries(words.filter(isVariable).map((word) => word.split("=", 2)));
    const dataDir = mkdtempSync(join(tmpdir(), "mayfly-e2e-"));
    const child = spawn(BINARY, ["serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
      // Long enough for a page to come back on a machine that has much else to do, and no longer.
      env: { ...process.env, MAYFLY_GRACE: "10s", ...variables },
    });
    const failed = once(child, "exit").then(([code]) => {
      throw new Error(`the hub ended with code ${code} before it listened`);
    });
    const address = await Promise.race([readAddress(child), failed]);
    failed.catch(() => {});
    return new Hub(address, child, dataDir);
  }

  /** The processes under the hub: the agents and whatever supervises them. */
  agents(): number[] {
    const parents = new Map<number, number>();
    for (const name of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      const parent = parentOf(name);
      if (parent !== null) {
        parents.set(Number(name), parent);
      }
    }
    const isUnder = (pid: number | undefined): boolean =>
      pid !== undefined && (pid === this.#process.pid || isUnder(parents.get(pid)));
    return [...parents.keys()].filter((pid) => pid !== this.#process.pid && isUnder(pid));
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

function isVariable(word: string): boolean {
  return /^[A-Z_]+=/.test(word);
}

/** The address that the hub prints once it listens. */
async function readAddress({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) {
    throw new Error("the hub's output is not read");
  }
  const lines = createInterface({ input: stdout, signal: AbortSignal.timeout(START_TIMEOUT_MS) });
  for await (const line of lines) {
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (address !== undefined) {
      // What it prints from here on is nobody's, but must not fill the pipe.
      stdout.resume();
      return address;
    }
  }
  throw new Error("the hub told no address");
}

/** A process's parent; null when it is gone already, or only waits to be reaped. */
function parentOf(pid: string): number | null {
  try {
    // The name, in parentheses, may hold anything; state and parent follow it (proc_pid_stat(5)).
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return state === "Z" ? null : Number(parent);
  } catch {
    return null;
  }
}
