import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

/** `--mode bench` runs the benchmarks instead of the tests. */
export default defineConfig(({ mode }) => ({
  ssr: { resolve: { conditions: ["mayfly-source", ...defaultServerConditions] } },
  test: {
    dir: import.meta.dirname,
    include: [mode === "bench" ? "**/*.bench.ts" : "**/*.test.ts"],
    // The tests mostly wait, so two files run at once even on one processor.
    maxWorkers: mode === "bench" ? 1 : 2,
    // Limits for hung tests. No test depends on how fast the machine is.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000 } },
  },
}));
