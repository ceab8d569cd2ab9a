import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

const HUB = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    // The client as it is in the work tree, not as it was built last.
    conditions: ["mayfly-source", ...defaultClientConditions],
  },
  build: {
    // The page's Content-Security-Policy knows no inline script and no data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // The hub serves no other origin and host than its own.
    proxy: { "/ws": { target: HUB, ws: true, changeOrigin: true, rewriteWsOrigin: true } },
  },
});
