// Portraits dropped anywhere on the page, or chosen: sent one after the other, with a bar, each
// told of by itself. Without this script the same form sends them all at once.
(() => {
  "use strict";
  const form = document.getElementById("drop");
  if (!form) return;
  const input = form.querySelector("input[type=file]");
  const box = form.querySelector(".sending"), bar = box.querySelector("progress");
  const told = box.querySelector("[role=status]"), refused = document.getElementById("drop-refused");
  const token = form.querySelector("[name=csrf_token]").value;
  const most = Number(form.dataset.most) * 1048576;
  let busy = false;

  const refuse = (name, reason) => {
    const line = document.createElement("li");
    line.textContent = reason.includes(name) ? reason : `${name}: ${reason}`;
    refused.append(line);
  };

  const send = async (file) => {
    const limit = Math.min(most, 64 * 1048576);
    if (file.size > limit) {
      refuse(file.name, `${file.name} has ${Math.round(file.size / 1048576)} MB: give a file of at most ${limit / 1048576} MB`);
      return false;
    }
    const body = new FormData();
    body.append("file", file, file.name);
    const reply = await fetch(form.dataset.api, { method: "POST", body, headers: { "X-CSRF-Token": token } });
    if (reply.ok) return true;
    const answer = await reply.json().catch(() => ({}));
    const rows = (answer.error && answer.error.rows) || [];
    if (rows.length) rows.forEach((row) => refuse(file.name, row.reason));
    else refuse(file.name, (answer.error && answer.error.message) || `the console answered ${reply.status}`);
    return false;
  };

  const sendAll = async (files) => {
    if (busy || !files.length) return;
    busy = true;
    refused.replaceChildren();
    box.hidden = false;
    let kept = 0;
    for (const [number, file] of [...files].entries()) {
      bar.value = number / files.length;
      told.textContent = `Sending ${number + 1} of ${files.length}: ${file.name}`;
      try {
        if (await send(file)) kept += 1;
      } catch {
        refuse(file.name, "the connection broke off: send it again");
      }
    }
    bar.value = 1;
    told.textContent = `${kept} of ${files.length} are in your drawer`;
    busy = false;
    input.value = "";
    if (kept) await refresh();
  };

  // The picks are drawn by the server; what was picked so far stays picked.
  const refresh = async () => {
    const choice = document.getElementById("choice");
    const marks = [...choice.querySelectorAll(":checked")].filter((each) => each.name).map((each) => [each.name, each.value]);
    const page = new DOMParser().parseFromString(await (await fetch(location.href, { cache: "no-store" })).text(), "text/html");
    const fresh = page.getElementById("choice");
    if (!fresh) return;
    const old = [...choice.querySelectorAll("fieldset")];
    [...fresh.querySelectorAll("fieldset")].forEach((next, place) => {
      if (next.querySelector(".picks") || old[place].querySelector("select[name^=shape]")) old[place].replaceWith(next);
    });
    const out = document.getElementById("drawer-out"), outNow = page.getElementById("drawer-out");
    if (out && outNow) out.querySelector(".picks").replaceWith(outNow.querySelector(".picks"));
    for (const [name, value] of marks) {
      const again = choice.querySelector(`[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
      if (again) again.checked = true;
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    sendAll(input.files);
  });
  input.addEventListener("change", () => sendAll(input.files));
  const hasFiles = (event) => [...(event.dataTransfer ? event.dataTransfer.types : [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    form.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) form.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event) || event.target.closest("input[type=file]")) return;
    event.preventDefault();
    form.classList.remove("over");
    sendAll(event.dataTransfer.files);
  });

  // A table that is too large is told of before it is sent for nothing.
  document.querySelectorAll("form[enctype] input[type=file]").forEach((each) => each.addEventListener("change", () => {
    const bytes = [...each.form.querySelectorAll("input[type=file]")].flatMap((one) => [...one.files]).reduce((sum, file) => sum + file.size, 0);
    each.setCustomValidity(each.form !== form && bytes > most
      ? `These are ${Math.round(bytes / 1048576)} MB; the console takes ${form.dataset.most} MB at once. Put the pictures into your drawer first, then send the table alone.` : "");
    each.reportValidity();
  }));
})();
