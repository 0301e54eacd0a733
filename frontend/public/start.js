// Before the first paint: the scheme, so that a dark board does not flash in white; and everything that the page will need
// and that its address tells already, so that it is on its way while the programs are read.
(function () {
  function stored(storage, name) {
    try {
      return window[storage].getItem(name);
    } catch (refused) {
      // Storage may be switched off: then the system's scheme is taken, and nobody has a token.
      return null;
    }
  }
  var chosen = stored("localStorage", "mlboard-scheme");
  var dark = chosen === "dark" || (chosen !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");

  var parameters = new URLSearchParams(window.location.search);
  var run = parameters.get("run_id");
  var page = parameters.get("page") || (run === null ? "runs" : "flow");
  // Filled in by the build: "flow:assets/a.js assets/b.css;analysis:...".
  (document.currentScript.getAttribute("data-pages") || "").split(";").forEach(function (entry) {
    var at = entry.indexOf(":");
    if (entry.slice(0, at) !== page) return;
    entry.slice(at + 1).split(" ").forEach(function (file) {
      var link = document.createElement("link");
      var isStyle = /\.css$/.test(file);
      link.rel = isStyle ? "preload" : "modulepreload";
      if (isStyle) link.as = "style";
      link.crossOrigin = "";
      link.href = "./" + file;
      document.head.appendChild(link);
    });
  });

  // Only of the page's own server: others are asked when it is known that they may be. See lib/hub/request.
  var isOwn = !parameters.has("rest_endpoint") && !parameters.has("ws_endpoint") && !/[#&]token=/.test(window.location.hash);
  if (run === null || !isOwn || parameters.has("at")) return;
  var token = stored("sessionStorage", "mlboard-token");
  var own = new URL(".", window.location.href).href.replace(/[?#].*$/, "").replace(/\/+$/, "");
  var asked = (window.mlboardAsked = {});
  ["", "/experiments?limit=10000"].forEach(function (rest) {
    var address = own + "/api/v1/runs/" + encodeURIComponent(run) + rest;
    asked[address] = fetch(address, { credentials: "omit", headers: token === null ? {} : { Authorization: "Bearer " + token } }).catch(function () {
      return null;
    });
  });
})();
