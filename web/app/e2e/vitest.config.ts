import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["mayfly-source", ...defaultServerConditions] } },
  test: {
    dir: import.meta.dirname,
    include: ["**/*.test.ts"],
    // What these tests do most is wait.
    maxWorkers: 2,
    // A browser and an agent start anew in most tests; nothing here waits that long when all is well.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
