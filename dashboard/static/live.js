// Keeps a page's <main data-live="SECONDS"> current: asks the server for the same page's fragment,
// replaces only the parts that changed, and stops when the server says that nothing will change.
(() => {
  "use strict";
  const root = () => document.getElementById("live");
  if (!root() || !root().dataset.live) return;
  const lost = document.getElementById("lost");
  const announce = document.getElementById("announce");
  const seen = new Map(); // part id -> its last markup as the server sent it
  let mark = null, failures = 0;

  const parts = (of) => [...of.querySelectorAll("[data-part]")];
  const remember = (of) => {
    seen.clear();
    parts(of).forEach((part) => seen.set(part.id, part.outerHTML));
  };

  // A preview that is still loading would leave a hole for a moment: fetch it before the swap.
  const loaded = (part) => Promise.all([...part.querySelectorAll("img")].map((picture) => {
    const ahead = new Image();
    ahead.src = picture.getAttribute("src");
    return Promise.race([ahead.decode().catch(() => {}), new Promise((go) => setTimeout(go, 1500))]);
  }));

  const swap = (old, next) => {
    const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
    const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
    next.querySelectorAll("details[id]").forEach((each) => { if (open.has(each.id)) each.open = true; });
    old.replaceWith(next);
    if (focus && document.getElementById(focus)) document.getElementById(focus).focus();
  };

  const apply = async (text) => {
    const next = new DOMParser().parseFromString(text, "text/html").getElementById("live");
    const same = parts(next).length === seen.size && parts(next).every((part) => seen.has(part.id));
    const changed = parts(next).filter((part) => seen.get(part.id) !== part.outerHTML);
    await Promise.all((same ? changed : [next]).map(loaded));
    const said = root().dataset.says, { live, says, title } = next.dataset;
    remember(next);
    if (same) {
      changed.forEach((part) => swap(document.getElementById(part.id), part));
      root().dataset.live = live;
      root().dataset.says = says;
    } else {
      swap(root(), next);
    }
    if (title) document.title = title;
    if (says && says !== said) announce.textContent = says;
  };

  const tick = async () => {
    if (!document.hidden) {
      try {
        const headers = { "X-Live": "1", ...(mark ? { "If-None-Match": mark } : {}) };
        const reply = await fetch(location.href, { headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
        if (reply.ok) {
          await apply(await reply.text());
          mark = reply.headers.get("ETag");
        } else if (reply.status === 401) {
          location.reload(); // logged out meanwhile: the page itself leads to the door
        } else if (reply.status !== 304) {
          throw new Error(String(reply.status));
        }
        failures = 0;
      } catch {
        failures += 1;
      }
      lost.hidden = failures < 2;
    }
    const pause = Number(root().dataset.live);
    if (pause) setTimeout(tick, 1000 * Math.min(pause * 2 ** Math.max(failures - 1, 0), 30));
  };

  remember(root());
  setTimeout(tick, 1000 * Number(root().dataset.live));
  document.addEventListener("visibilitychange", () => { failures = 0; });
})();
