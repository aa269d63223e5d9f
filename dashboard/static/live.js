// Keeps a page's <div id="live" data-live="SECONDS"> current. A page with data-stream is pushed: the
// server sends the parts that changed. Without a place at a stream, and on other pages, the same
// page's fragment is asked for again and again until the server says that nothing will change.
(() => {
  "use strict";
  const root = () => document.getElementById("live");
  if (!root()) return;
  const lost = document.getElementById("lost");
  const announce = document.getElementById("announce");
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  const seen = new Map(); // part id -> its last markup, without the token of this session
  let mark = null, failures = 0; // of the polling
  let source = null, last = "", retryAt = 0; // of the stream
  let work = Promise.resolve(); // changes are made one after the other

  const parts = (of) => [...of.querySelectorAll("[data-part]")];
  const plain = (part) => (token ? part.outerHTML.replaceAll(token, "") : part.outerHTML);
  const remember = (of) => parts(of).forEach((part) => seen.set(part.id, plain(part)));

  // A preview that is still loading would leave a hole for a moment: fetch it before the swap.
  const loaded = (part) => Promise.all([...part.querySelectorAll("img:not([loading])")].map((picture) => {
    const ahead = new Image();
    ahead.src = picture.getAttribute("src");
    return Promise.race([ahead.decode().catch(() => {}), new Promise((go) => setTimeout(go, 1500))]);
  }));

  // What a person has opened, ticked or typed stays as it is.
  const keep = (old, next) => {
    const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
    next.querySelectorAll("details[id]").forEach((each) => { if (open.has(each.id)) each.open = true; });
    old.querySelectorAll("input[id], select[id], textarea[id]").forEach((each) => {
      const twin = next.querySelector(`#${CSS.escape(each.id)}`);
      if (!twin) return;
      if (each.type === "checkbox" || each.type === "radio") twin.checked = each.checked;
      else if (each.value !== each.defaultValue) twin.value = each.value;
    });
  };

  const swap = (old, next) => {
    keep(old, next);
    next.querySelectorAll('input[name="csrf_token"]').forEach((field) => { field.value = token; });
    const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
    old.replaceWith(next);
    if (focus && document.getElementById(focus)) document.getElementById(focus).focus({ preventScroll: true });
  };

  const tell = (said, { says, title }) => {
    if (title) document.title = title;
    if (says && says !== said) announce.textContent = says;
    document.dispatchEvent(new Event("live-changed"));
  };

  const parse = (text) => new DOMParser().parseFromString(text, "text/html");

  const applyWhole = async (text) => {
    const next = parse(text).getElementById("live");
    const same = parts(next).length === seen.size && parts(next).every((part) => seen.has(part.id));
    const changed = parts(next).filter((part) => seen.get(part.id) !== plain(part));
    await Promise.all((same ? changed : [next]).map(loaded));
    const said = root().dataset.says, facts = { ...next.dataset };
    if (!same) seen.clear();
    remember(next);
    if (same) {
      changed.forEach((part) => swap(document.getElementById(part.id), part));
      Object.assign(root().dataset, facts);
    } else {
      swap(root(), next);
    }
    tell(said, facts);
  };

  const applyParts = async ({ root: facts, parts: texts }) => {
    const changed = Object.entries(texts).map(([id, text]) => parse(text).getElementById(id));
    await Promise.all(changed.map(loaded));
    const said = root().dataset.says;
    changed.forEach((part) => {
      seen.set(part.id, plain(part));
      swap(document.getElementById(part.id), part);
    });
    Object.assign(root().dataset, facts);
    tell(said, facts);
  };

  // --- pushed

  const later = (does) => { work = work.then(does).catch(() => location.reload()); };

  const close = () => {
    source?.close();
    source = null;
  };

  const listen = () => {
    if (source || document.hidden || !root().dataset.stream || Date.now() < retryAt) return;
    const page = encodeURIComponent(location.pathname + location.search);
    const mine = source = new EventSource(`/live?page=${page}&seen=${encodeURIComponent(last)}`);
    const took = (event) => { last = event.lastEventId; };
    mine.onopen = () => { lost.hidden = true; };
    mine.addEventListener("whole", (event) => {
      took(event);
      later(() => applyWhole(JSON.parse(event.data).html));
    });
    mine.addEventListener("parts", (event) => {
      took(event);
      later(() => applyParts(JSON.parse(event.data)));
    });
    mine.addEventListener("gone", () => { close(); location.reload(); });
    mine.onerror = () => {
      if (mine.readyState === EventSource.CLOSED) { // no place, or no such login: polling finds out
        retryAt = Date.now() + 30000;
        close();
        setTimeout(tick, 1000);
      } else {
        setTimeout(() => { if (source === mine && mine.readyState !== EventSource.OPEN) lost.hidden = false; }, 4000);
      }
    };
  };

  // --- asked for

  let timer = 0;
  const tick = async () => {
    clearTimeout(timer);
    listen();
    if (source) return;
    if (!document.hidden) {
      try {
        const headers = { "X-Live": "1", ...(mark ? { "If-None-Match": mark } : {}) };
        const reply = await fetch(location.href, { headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
        if (reply.ok) {
          const text = await reply.text();
          await (work = work.then(() => applyWhole(text)));
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
    const pause = Number(root().dataset.live) || (root().dataset.stream ? 30 : 0);
    if (pause) timer = setTimeout(tick, 1000 * Math.min(pause * 2 ** Math.max(failures - 1, 0), 30));
  };

  remember(root());
  if (root().dataset.stream) listen();
  else if (root().dataset.live) timer = setTimeout(tick, 1000 * Number(root().dataset.live));
  document.addEventListener("visibilitychange", () => {
    failures = 0;
    if (!root().dataset.stream) return;
    if (document.hidden) close(); // its place is another's while nobody looks
    else tick();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) tick(); });
})();
