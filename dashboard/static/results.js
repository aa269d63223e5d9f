// On a gallery: arrow keys move, a / r / u judge and take back, x ticks, Enter opens.
// On one result: a slider between before and after, and the keys of its buttons.
(() => {
  "use strict";
  const announce = (text) => { document.getElementById("announce").textContent = text; };
  const typing = (at) => at.closest("input:not([type=checkbox]):not([type=range]), select, textarea");

  // before and after
  document.querySelectorAll("[data-compare]").forEach((box) => {
    const wipe = box.querySelector(".wipe"), range = wipe.querySelector("input");
    const before = box.querySelector(".before"), after = box.querySelector(".after");
    if (!after) return;
    box.classList.add("sliding");
    wipe.hidden = false;
    const show = () => {
      box.style.setProperty("--at", `${range.value}%`);
      box.style.setProperty("--side", `${before.offsetHeight}px`);
    };
    const drag = (event) => {
      const frame = before.getBoundingClientRect();
      range.value = String(Math.round(100 * (event.clientX - frame.left) / frame.width));
      show();
    };
    [before, after].forEach((half) => half.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      half.setPointerCapture(event.pointerId);
      drag(event);
    }));
    [before, after].forEach((half) => half.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); }));
    range.addEventListener("input", show);
    window.addEventListener("resize", show);
    before.querySelector("img").addEventListener("load", show);
    show();
  });

  // one result
  const judge = document.getElementById("judge");
  if (judge) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const words = { a: "[value=accepted]", r: "[value=rejected]", n: "#next" };
      const button = event.key === "u" ? document.getElementById("undo") : judge.querySelector(words[event.key] || "#none");
      if (button && !button.disabled) button.click();
    });
  }

  // the gallery
  const gallery = document.getElementById("gallery");
  if (!gallery) return;
  const shots = [...gallery.querySelectorAll(".shot")];
  const deeds = []; // newest last: the number of the deed, the card, what held before
  let busy = Promise.resolve();

  const here = () => shots.findIndex((shot) => shot.contains(document.activeElement));
  const go = (number) => {
    const shot = shots[Math.min(Math.max(number, 0), shots.length - 1)];
    shot.querySelector(".open").focus();
    shot.scrollIntoView({ block: "nearest" });
  };
  const columns = () => shots.filter((shot) => shot.offsetTop === shots[0].offsetTop).length;
  const ask = async (path, body) => {
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": gallery.dataset.csrf };
    const reply = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error.message);
    return answer;
  };
  const badges = { accepted: ["s-succeeded", "✓"], rejected: ["s-failed", "✕"], undecided: ["s-queued", "○"] };
  const mark = (shot, decision) => {
    shot.dataset.decision = decision;
    const badge = document.createElement("span"), glyph = document.createElement("span");
    badge.className = `badge ${badges[decision][0]}`;
    glyph.className = "glyph";
    glyph.ariaHidden = "true";
    glyph.textContent = badges[decision][1];
    badge.append(glyph, decision);
    shot.querySelector(".decision").replaceChildren(badge);
  };
  // One after the other, however fast the keys come.
  const queued = (work) => { busy = busy.then(work).catch((error) => announce(error.message)); };

  const decide = (number, decision) => {
    const shot = shots[number], before = shot.dataset.decision;
    go(number + 1);
    if (before === decision) return;
    queued(async () => {
      const done = await ask(gallery.dataset.verdicts, { jobs: [Number(shot.dataset.job)], decision });
      deeds.push({ deed: done.deed, number, before });
      mark(shot, decision);
      announce(`${shot.querySelector(".tick b").textContent} ${decision}`);
    });
  };
  const undo = () => queued(async () => {
    const last = deeds.pop();
    if (!last) {
      const button = document.getElementById("undo");
      if (button) button.click();
      return;
    }
    await ask(gallery.dataset.undo, { deed: last.deed });
    mark(shots[last.number], last.before);
    go(last.number);
    announce("undone");
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const at = here();
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns() };
    if (event.key in steps) {
      event.preventDefault();
      go(at < 0 ? 0 : at + steps[event.key]);
    } else if (event.key === "x" && at >= 0) {
      shots[at].querySelector("[name=job]").click();
    } else if (gallery.dataset.verdicts && event.key === "u") {
      undo();
    } else if (gallery.dataset.verdicts && at >= 0 && (event.key === "a" || event.key === "r")) {
      decide(at, event.key === "a" ? "accepted" : "rejected");
    }
  });

  const ticks = document.getElementById("ticks"), said = ticks.innerHTML;
  gallery.addEventListener("change", () => {
    const count = gallery.querySelectorAll("[name=job]:checked").length;
    if (count) ticks.textContent = `${count} ticked`;
    else ticks.innerHTML = said;
  });
})();
