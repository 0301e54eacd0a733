// Before the first paint, so that a dark board does not flash in white.
(function () {
  var chosen = null;
  try {
    chosen = window.localStorage.getItem("mlboard-scheme");
  } catch (refused) {
    // Storage may be switched off; then the system's scheme is taken.
  }
  var dark = chosen === "dark" || (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
