// Applies the stored theme before the first paint. `src/lib/browser/theme.ts` stores it.
try {
  const theme = localStorage.getItem("mayfly.theme");
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // Without storage the system's theme applies.
}
