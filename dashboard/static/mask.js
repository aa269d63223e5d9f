// Paints on a label map: one byte for each pixel, drawn in colours over the identity's picture.
// The server takes what a file would bring, so the form's own file field carries the mask.
(() => {
  "use strict";
  const editor = document.getElementById("editor");
  if (!editor) return;
  const MOST_STROKES = 100, ZOOMS = [1, 1.5, 2, 3, 4, 6, 8];
  const side = Number(editor.dataset.side);
  const at = (id) => document.getElementById(id);
  const [view, sheet, canvas, cursor, told] = ["view", "sheet", "paint", "cursor", "told"].map(at);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const classes = [...editor.querySelectorAll("[name=label]")];
  const colours = classes.map((input) => input.dataset.colour.split(",").map(Number));
  const words = classes.map((input) => input.parentElement.textContent.trim());

  let labels = new Uint8Array(side * side);
  let tool = "brush", zoom = 0, ready = false, touched = false;
  let stroke = null, last = null, held = false, where = { x: side >> 1, y: side >> 1 };
  const undone = [], done = []; // whole label maps: small, and nothing can come apart

  const label = () => Number(editor.querySelector("[name=label]:checked").value);
  const size = () => Number(at("size").value);
  const say = (text) => { told.textContent = text; };

  const draw = (x0 = 0, y0 = 0, x1 = side, y1 = side) => {
    const image = context.createImageData(x1 - x0, y1 - y0);
    for (let y = y0, i = 0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1, i += 4) {
        const colour = colours[labels[y * side + x]];
        image.data[i] = colour[0];
        image.data[i + 1] = colour[1];
        image.data[i + 2] = colour[2];
        image.data[i + 3] = 255;
      }
    }
    context.putImageData(image, x0, y0);
  };
  const buttons = () => {
    at("undo-stroke").disabled = !done.length;
    at("redo-stroke").disabled = !undone.length;
  };
  const begin = () => { stroke = labels.slice(); };
  const end = () => {
    if (!stroke) return;
    if (stroke.some((value, i) => value !== labels[i])) {
      done.push(stroke);
      if (done.length > MOST_STROKES) done.shift();
      undone.length = 0;
      touched = true;
      buttons();
    }
    stroke = null;
    last = null;
  };
  const swap = (from, to, word) => {
    if (!from.length) return;
    to.push(labels);
    labels = from.pop();
    draw();
    buttons();
    say(word);
  };
  const undo = () => swap(done, undone, "undone");
  const redo = () => swap(undone, done, "done again");

  // tools
  const dot = (cx, cy) => {
    const radius = size() / 2, value = label();
    const [x0, x1] = [Math.max(0, Math.floor(cx - radius)), Math.min(side, Math.ceil(cx + radius) + 1)];
    const [y0, y1] = [Math.max(0, Math.floor(cy - radius)), Math.min(side, Math.ceil(cy + radius) + 1)];
    for (let y = y0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1) {
        if ((x - cx) ** 2 + (y - cy) ** 2 <= Math.max(radius ** 2, .3)) labels[y * side + x] = value;
      }
    }
    if (x1 > x0 && y1 > y0) draw(x0, y0, x1, y1);
  };
  const line = (to) => {
    const from = last || to, steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y)));
    for (let i = 0; i <= steps; i += 1) dot(from.x + (to.x - from.x) * i / steps, from.y + (to.y - from.y) * i / steps);
    last = to;
  };
  const fill = ({ x, y }) => {
    const old = labels[y * side + x], value = label(), open = [y * side + x];
    if (old === value) return;
    while (open.length) {
      const i = open.pop();
      if (labels[i] !== old) continue;
      labels[i] = value;
      if (i % side) open.push(i - 1);
      if (i % side < side - 1) open.push(i + 1);
      if (i >= side) open.push(i - side);
      if (i < side * (side - 1)) open.push(i + side);
    }
    draw();
  };
  const pick = ({ x, y }) => {
    classes[labels[y * side + x]].checked = true;
    say(`class: ${words[label()]}`);
  };
  const use = (point) => {
    if (tool === "pick") {
      pick(point);
    } else if (tool === "fill") {
      begin();
      fill(point);
      end();
    } else {
      if (!stroke) begin();
      line(point);
    }
  };
  const choose = (name) => {
    tool = name;
    editor.querySelectorAll("[data-tool]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.tool === name));
    });
    sheet.classList.toggle("panning", name === "pan");
  };

  // where things are
  const point = (event) => {
    const frame = canvas.getBoundingClientRect();
    const cell = (part, whole) => Math.min(Math.max(Math.floor(side * part / whole), 0), side - 1);
    return { x: cell(event.clientX - frame.left, frame.width), y: cell(event.clientY - frame.top, frame.height) };
  };
  const show = (spot) => {
    where = spot;
    const pixels = sheet.clientWidth / side, across = Math.max(tool === "brush" ? size() : 1, 1) * pixels;
    cursor.style.display = "block";
    cursor.style.width = cursor.style.height = `${across}px`;
    cursor.style.left = `${(spot.x + .5) * pixels}px`;
    cursor.style.top = `${(spot.y + .5) * pixels}px`;
  };
  const scale = (step) => {
    const next = Math.min(Math.max(zoom + step, 0), ZOOMS.length - 1);
    const factor = ZOOMS[next] / ZOOMS[zoom], half = view.clientWidth / 2;
    zoom = next;
    sheet.style.width = `${100 * ZOOMS[zoom]}%`;
    view.scrollLeft = (view.scrollLeft + half) * factor - half;
    view.scrollTop = (view.scrollTop + half) * factor - half;
    at("zoom-told").textContent = `${100 * ZOOMS[zoom]}%`;
    show(where);
  };

  sheet.addEventListener("pointerdown", (event) => {
    if (!ready) return;
    view.focus({ preventScroll: true });
    sheet.setPointerCapture(event.pointerId);
    event.preventDefault();
    held = tool === "pan" || event.button === 1 || sheet.classList.contains("panning") ? "pan" : "paint";
    if (held === "paint") use(point(event));
  });
  sheet.addEventListener("pointermove", (event) => {
    show(point(event));
    if (held === "pan") {
      view.scrollLeft -= event.movementX;
      view.scrollTop -= event.movementY;
    } else if (held && tool === "brush") {
      use(point(event));
    }
  });
  ["pointerup", "pointercancel"].forEach((name) => sheet.addEventListener(name, () => { held = false; end(); }));
  sheet.addEventListener("pointerleave", () => { if (!held) cursor.style.display = "none"; });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // as browsers zoom; otherwise it scrolls
    event.preventDefault();
    scale(event.deltaY < 0 ? 1 : -1);
  }, { passive: false });

  // keys
  const keys = {
    b: () => choose("brush"), f: () => choose("fill"), i: () => choose("pick"), h: () => choose("pan"),
    z: undo, y: redo, "+": () => scale(1), "=": () => scale(1), "-": () => scale(-1),
    "[": () => { at("size").stepDown(); resized(); }, "]": () => { at("size").stepUp(); resized(); },
  };
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const inside = (value) => Math.min(Math.max(value, 0), side - 1);
  view.addEventListener("keydown", (event) => {
    if (event.key in moves && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const [dx, dy] = moves[event.key], far = event.shiftKey ? 8 : 1;
      show({ x: inside(where.x + dx * far), y: inside(where.y + dy * far) });
      say(`${where.x}, ${where.y}: ${words[labels[where.y * side + where.x]]}`);
    } else if (event.key === "Enter") {
      event.preventDefault();
      use(where);
      end();
      say(`${where.x}, ${where.y}: ${words[labels[where.y * side + where.x]]}`);
    } else if (event.key === " ") {
      event.preventDefault();
      sheet.classList.add("panning");
    }
  });
  view.addEventListener("keyup", (event) => { if (event.key === " " && tool !== "pan") sheet.classList.remove("panning"); });
  document.addEventListener("keydown", (event) => {
    if (!ready || event.altKey || event.target.closest("input:not([type=radio]):not([type=range]), textarea")) return;
    const whole = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    if (whole && key !== "z" && key !== "y") return;
    const verb = whole && key === "z" && event.shiftKey ? redo : keys[key];
    if (!verb) return;
    event.preventDefault();
    verb();
  });

  // buttons and sliders
  const resized = () => { at("size-told").textContent = at("size").value; show(where); };
  const faded = () => { canvas.style.opacity = String(Number(at("opacity").value) / 100); };
  editor.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => choose(button.dataset.tool)));
  at("size").addEventListener("input", resized);
  at("opacity").addEventListener("input", faded);
  at("undo-stroke").addEventListener("click", undo);
  at("redo-stroke").addEventListener("click", redo);
  at("zoom-in").addEventListener("click", () => scale(1));
  at("zoom-out").addEventListener("click", () => scale(-1));

  // in and out
  const load = async () => {
    const image = new Image();
    image.src = editor.dataset.labels;
    await image.decode();
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, side, side);
    const known = new Map(colours.map((colour, value) => [colour.join(), value]));
    labels = Uint8Array.from({ length: side * side }, (_, i) => {
      const value = known.get([...data.subarray(4 * i, 4 * i + 3)].join());
      if (value === undefined) throw new Error("the mask came in colours that are no labels'");
      return value;
    });
    at("picture").src = editor.dataset.picture;
    editor.hidden = false;
    ready = true;
    faded();
    say("Ready.");
  };
  const form = at("send");
  if (form) {
    const file = form.querySelector("[name=mask]");
    form.classList.add("painting");
    file.required = false;
    form.addEventListener("submit", (event) => {
      if (!ready || file.files.length) return;
      event.preventDefault();
      draw();
      canvas.toBlob((blob) => {
        const box = new DataTransfer();
        box.items.add(new File([blob], "painted.png", { type: "image/png" }));
        file.files = box.files;
        touched = false;
        form.requestSubmit(at("save"));
      }, "image/png");
    });
  }
  window.addEventListener("beforeunload", (event) => { if (touched) event.preventDefault(); });
  load().catch((error) => {
    if (form) form.classList.remove("painting");
    editor.hidden = false;
    say(`The mask could not be loaded: ${error.message}`);
  });
})();
