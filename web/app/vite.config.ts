import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defaultClientConditions, defineConfig } from "vite";

const HUB = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: {
    // Resolves the client to its sources instead of its last build.
    conditions: ["mayfly-source", ...defaultClientConditions],
  },
  build: {
    // The page's Content-Security-Policy allows no inline scripts and no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    // The hub accepts only its own host and origin.
    proxy: { "/ws": { target: HUB, ws: true, changeOrigin: true, rewriteWsOrigin: true } },
  },
});
