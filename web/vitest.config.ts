import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["mayfly-source", ...defaultServerConditions] } },
  // The timeout ends a hung test. No test depends on how fast the machine is.
  test: { include: ["client/src/**/*.test.ts", "app/src/**/*.test.ts"], testTimeout: 120_000 },
});
