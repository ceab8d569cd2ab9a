// Runs before the page is drawn, so that it is never drawn in the wrong colours. The choice is lib/theme.ts's to make.
try {
  const theme = localStorage.getItem("mayfly.theme");
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // A browser that keeps nothing has the system's colours.
}
