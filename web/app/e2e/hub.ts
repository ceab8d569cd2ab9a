/** A hub process for tests. It listens on a free port, and its agents are observed through /proc. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

const BINARY = resolve(process.env.MAYFLY_BIN ?? join(import.meta.dirname, "../../../target/debug/mayfly"));
const START_TIMEOUT_MS = 60_000;

export class Hub {
  readonly address: string;
  readonly #process: ChildProcess;
  readonly #dataDir: string;

  private constructor(address: string, process: ChildProcess, dataDir: string) {
    this.address = address;
    this.#process = process;
    this.#dataDir = dataDir;
  }

  /** Starts a hub with extra arguments. An argument of the form `NAME=value` sets an environment variable instead. */
  static async start(...args: string[]): Promise<Hub> {
    const flags = args.filter((arg) => !isVariable(arg));
    const variables = Object.fromEntries(args.filter(isVariable).map((arg) => arg.split("=", 2)));
    const dataDir = mkdtempSync(join(tmpdir(), "mayfly-e2e-"));
    const child = spawn(BINARY, ["serve", "--listen", "127.0.0.1:0", "--data-dir", dataDir, ...flags], {
      stdio: ["ignore", "pipe", "inherit"],
      // A busy machine must not lose a session while a page reconnects.
      env: { ...process.env, MAYFLY_GRACE: "2m", ...variables },
    });
    const failed = once(child, "exit").then(([code]) => {
      throw new Error(`the hub exited with code ${code} before it listened`);
    });
    const address = await Promise.race([readAddress(child), failed]);
    failed.catch(() => {});
    return new Hub(address, child, dataDir);
  }

  /** Pids of the hub's descendants: the agents and their supervisors. */
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

  /** Terminates the hub and deletes its data directory. */
  async stop(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGTERM");
    await ended;
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

function isVariable(arg: string): boolean {
  return /^[A-Z_]+=/.test(arg);
}

/** Reads the address that the hub prints once it listens. */
async function readAddress({ stdout }: ChildProcess): Promise<string> {
  if (stdout === null) {
    throw new Error("the hub's output is not piped");
  }
  const lines = createInterface({ input: stdout, signal: AbortSignal.timeout(START_TIMEOUT_MS) });
  for await (const line of lines) {
    const address = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0];
    if (address !== undefined) {
      // Later output is discarded, so that it does not fill the pipe.
      stdout.resume();
      return address;
    }
  }
  throw new Error("the hub printed no address");
}

/** A process's parent; null if the process has exited or is a zombie. */
function parentOf(pid: string): number | null {
  try {
    // The name in parentheses may contain any character; state and parent follow it (proc_pid_stat(5)).
    const [state, parent] = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ");
    return state === "Z" ? null : Number(parent);
  } catch {
    return null;
  }
}
