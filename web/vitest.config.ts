import { defaultServerConditions } from "vite";
import { defineConfig } from "vitest/config";

export default defineConfig({
  ssr: { resolve: { conditions: ["mayfly-source", ...defaultServerConditions] } },
  test: { include: ["client/src/**/*.test.ts", "app/src/**/*.test.ts"] },
});
