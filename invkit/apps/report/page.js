"use strict";
document.documentElement.classList.add("scripted");

document.addEventListener("DOMContentLoaded", () => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);
  const between = (value, low, high) => Math.min(Math.max(value, low), high);
  const made = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  /* The viewer: there is only one. It moves into the case that is shown and takes the images there. */
  const cases = all(".case");
  const viewer = one("#viewer-parts").content.firstElementChild.cloneNode(true);
  const stage = one(".stage", viewer), leftMenu = one(".left select", viewer), rightButtons = one(".choices", viewer);
  const layoutButton = one(".layout", viewer), level = one(".zoom output", viewer);
  const chosen = { place: 0, left: null, right: null, many: false };
  const view = { split: 50, zoom: 1, x: 0, y: 0 };
  const LARGEST = 32;

  const picturesOf = (place) => all(".picture", cases[place]).filter((figure) => one("img", figure));
  const nameOf = (figure) => figure.dataset.name;
  const labelOf = (figure) => [nameOf(figure), figure.dataset.about].filter(Boolean).join(" · ");

  function layer(figure, kind) {
    const image = one("img", figure);
    const copy = made("img", { src: image.src, alt: image.alt, draggable: false });
    return made("div", { className: `layer ${kind}` }, copy, made("span", { className: "tag", textContent: labelOf(figure) }));
  }

  function handle(left, right) {
    const slider = made("div", { className: "handle", tabIndex: 0 });
    const facts = { role: "slider", "aria-orientation": "horizontal", "aria-valuemin": 0, "aria-valuemax": 100 };
    facts["aria-label"] = `Line between ${nameOf(left)} and ${nameOf(right)}`;
    for (const [name, value] of Object.entries(facts)) slider.setAttribute(name, value);
    slider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 : 2;
      const moves = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
      if (!(event.key in moves)) return;
      event.preventDefault();
      event.stopPropagation();
      setView({ split: view.split + moves[event.key] });
    });
    return slider;
  }

  function setView(changes) {
    Object.assign(view, changes);
    view.split = between(view.split, 0, 100);
    view.zoom = between(view.zoom, 1, LARGEST);
    const least = 100 - 100 * view.zoom;
    view.x = between(view.x, least, 0);
    view.y = between(view.y, least, 0);
    const units = { split: "%", x: "%", y: "%", zoom: "" };
    for (const [name, unit] of Object.entries(units)) stage.style.setProperty(`--${name}`, view[name] + unit);
    stage.classList.toggle("zoomed", view.zoom > 1);
    const slider = one(".handle", stage), scale = pixelSize();
    if (slider) {
      slider.setAttribute("aria-valuenow", Math.round(view.split));
      slider.setAttribute("aria-valuetext", `${Math.round(view.split)} %`);
    }
    stage.classList.toggle("sharp", scale >= 3);
    level.textContent = scale ? `${Math.round(100 * scale)} %` : "";
  }

  /* The number of screen pixels in one image pixel. */
  function pixelSize() {
    const pane = one(".pane", stage), figure = chosen.right && one("img", chosen.right);
    return pane && figure ? (view.zoom * pane.clientWidth * devicePixelRatio) / Number(figure.getAttribute("width")) : 0;
  }

  /* The point (x, y) of the pane, from 0 to 1, stays in its place. */
  function zoomBy(factor, x = 0.5, y = 0.5) {
    const zoom = between(view.zoom * factor, 1, LARGEST), share = zoom / view.zoom;
    setView({ zoom, x: 100 * x - (100 * x - view.x) * share, y: 100 * y - (100 * y - view.y) * share });
  }

  function where(event) {
    const pane = event.target.closest(".pane") || one(".pane", stage), box = pane.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, box };
  }

  function draw() {
    const focused = document.activeElement, onHandle = focused && focused.classList.contains("handle");
    const figures = picturesOf(chosen.place);
    const pane = (...layers) => made("div", { className: "pane" }, ...layers);
    const single = chosen.left === chosen.right;
    if (chosen.many) stage.replaceChildren(...figures.map((figure) => pane(layer(figure, "whole"))));
    else if (single) stage.replaceChildren(...(chosen.right ? [pane(layer(chosen.right, "whole"))] : []));
    else stage.replaceChildren(pane(layer(chosen.right, "under"), layer(chosen.left, "over"), handle(chosen.left, chosen.right)));
    stage.classList.toggle("many", chosen.many);
    stage.style.setProperty("--columns", Math.ceil(figures.length / Math.ceil(figures.length / 4)) || 1);
    stage.closest(".bench").classList.toggle("wide", chosen.many);
    const image = chosen.right && one("img", chosen.right);
    if (image) stage.closest(".bench").style.setProperty("--ratio", image.getAttribute("width") / image.getAttribute("height"));
    leftMenu.value = chosen.left ? nameOf(chosen.left) : "";
    for (const button of rightButtons.children) {
      button.setAttribute("aria-pressed", String(chosen.right !== null && button.textContent === nameOf(chosen.right)));
    }
    layoutButton.setAttribute("aria-pressed", String(chosen.many));
    const remarks = all(".picture", cases[chosen.place]).flatMap((figure) => all("em", figure).map((em) => `${nameOf(figure)}: ${em.textContent}`));
    one(".remarks", viewer).textContent = remarks.join("; ");
    setView({});
    if (onHandle && one(".handle", stage)) one(".handle", stage).focus();
  }

  function show(place, { focus = false } = {}) {
    const named = (figures, before) => before && figures.find((figure) => nameOf(figure) === nameOf(before));
    const figures = picturesOf(place);
    cases[chosen.place].classList.remove("current");
    cases[place].classList.add("current");
    const results = figures.filter((figure) => !["before", "truth"].includes(nameOf(figure)));
    chosen.place = place;
    chosen.left = named(figures, chosen.left) || figures[0] || null;
    chosen.right = named(figures, chosen.right) || results.find((figure) => figure !== chosen.left) || results[0] || null;
    leftMenu.replaceChildren(...figures.map((figure) => made("option", { value: nameOf(figure), textContent: nameOf(figure) })));
    rightButtons.replaceChildren(...figures.map((figure) => {
      const button = made("button", { type: "button", textContent: nameOf(figure) });
      button.addEventListener("click", () => { chosen.right = figure; chosen.many = false; draw(); });
      return button;
    }));
    one(".pictures", cases[place]).prepend(viewer);
    viewer.hidden = figures.length === 0;
    layoutButton.hidden = figures.length < 2;
    if (menu) {
      menu.value = place;
      const size = one("h2 small", cases[place]);
      one(".cases .count").textContent = [`${place + 1} of ${cases.length}`, size && size.textContent].filter(Boolean).join(", ");
    }
    for (const link of all("td a")) link.closest("tr").classList.toggle("chosen", link.hash === `#case-${place}` && cases.length > 1);
    draw();
    if (focus) cases[place].scrollIntoView({ block: "start" });
  }

  leftMenu.addEventListener("change", () => {
    chosen.left = picturesOf(chosen.place).find((figure) => nameOf(figure) === leftMenu.value);
    chosen.many = false;
    draw();
  });
  layoutButton.addEventListener("click", () => { chosen.many = !chosen.many; draw(); });
  for (const button of all("[data-zoom]", viewer)) {
    const ways = { in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), fit: () => setView({ zoom: 1 }), pixels: () => zoomBy(1 / pixelSize()) };
    button.addEventListener("click", ways[button.dataset.zoom]);
  }
  addEventListener("resize", () => setView({}));

  /* Pointers: two pointers pinch. One moves the line, or the image if it is zoomed or there is no line. */
  const pointers = new Map();
  stage.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pointers.set(event.pointerId, event);
    stage.setPointerCapture(event.pointerId);
    const slider = one(".handle", stage);
    stage.moves = slider && (event.target === slider || view.zoom === 1) ? "line" : "picture";
    if (slider && event.target === slider) slider.focus({ preventScroll: true });
    else if (stage.moves === "line") setView({ split: 100 * where(event).x });
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const other = [...pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    const box = one(".pane", stage).getBoundingClientRect();
    if (other) {
      const apart = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      const middle = { x: (event.clientX + other.clientX) / 2, y: (event.clientY + other.clientY) / 2 };
      zoomBy(apart(event) / (apart(before) || 1), (middle.x - box.left) / box.width, (middle.y - box.top) / box.height);
    } else if (stage.moves === "line") {
      setView({ split: (100 * (event.clientX - box.left)) / box.width });
    } else {
      setView({ x: view.x + (100 * (event.clientX - before.clientX)) / box.width, y: view.y + (100 * (event.clientY - before.clientY)) / box.height });
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("dblclick", (event) => {
    const { x, y } = where(event);
    zoomBy(view.zoom < LARGEST / 2 && !event.shiftKey ? 2 : 1 / LARGEST, x, y);
  });
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { x, y } = where(event);
    zoomBy(Math.exp(-event.deltaY / 300), x, y);
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: ["x", 10], ArrowRight: ["x", -10], ArrowUp: ["y", 10], ArrowDown: ["y", -10] };
    const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 1 / LARGEST };
    if (event.key in moves && view.zoom > 1) setView({ [moves[event.key][0]]: view[moves[event.key][0]] + moves[event.key][1] });
    else if (event.key in zooms && !event.ctrlKey && !event.metaKey) zoomBy(zooms[event.key]);
    else return;
    event.preventDefault();
  });

  /* The shown case is chosen by the menu, its arrows, links in tables, and the address. */
  const menu = one(".cases select");
  const stepTo = (step) => show((chosen.place + step + cases.length) % cases.length);
  if (menu) {
    menu.addEventListener("change", () => show(Number(menu.value)));
    one(".cases .previous").addEventListener("click", () => stepTo(-1));
    one(".cases .next").addEventListener("click", () => stepTo(1));
  }
  const placeOf = (hash) => cases.findIndex((each) => `#${each.id}` === hash);
  for (const link of all("td a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      show(placeOf(link.hash), { focus: true });
    });
  }
  if (cases.length) show(Math.max(0, placeOf(location.hash)));

  /* Snapshots. */
  for (const evolution of all(".evolution")) {
    const frames = all(".frame", evolution), slider = one("input", evolution), play = one(".play", evolution);
    let timer = 0;
    one(".frames", evolution).removeAttribute("tabindex");
    const last = one("img", frames[frames.length - 1]);
    if (last) one(".frames", evolution).style.setProperty("--shape", `${last.getAttribute("width")} / ${last.getAttribute("height")}`);
    const go = (place) => {
      slider.value = place;
      frames.forEach((frame, i) => frame.classList.toggle("current", i === place));
      slider.setAttribute("aria-valuetext", one("figcaption", frames[place]).textContent.trim());
    };
    const stop = () => { clearInterval(timer); timer = 0; play.textContent = "Play"; };
    slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
    play.addEventListener("click", () => {
      if (timer) return stop();
      go(0);
      play.textContent = "Stop";
      timer = setInterval(() => (Number(slider.value) + 1 < frames.length ? go(Number(slider.value) + 1) : stop()), 250);
      return undefined;
    });
    go(frames.length - 1);
  }

  /* Tables: a click on a head sorts the rows, numbers by value; the text field filters them. */
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value.replace("inf", "Infinity"));
  };
  const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : typeof a === "number" ? -1 : typeof b === "number" ? 1 : a.localeCompare(b, undefined, { numeric: true }));
  for (const table of all("table")) {
    if (table.tBodies[0].rows.length < 2) continue;
    for (const head of all("th", table)) {
      const button = made("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of all("th", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const keyed = [...table.tBodies[0].rows].map((row) => [valueOf(row, head.cellIndex), row]);
        keyed.sort((a, b) => (down ? -1 : 1) * order(a[0], b[0]));
        table.tBodies[0].append(...keyed.map(([, row]) => row));
      });
    }
  }
  for (const filter of all(".filter")) {
    const rows = [...one("tbody", filter.parentElement).rows], input = one("input", filter), output = one("output", filter);
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach((row, i) => { row.hidden = !words.every((word) => texts[i].includes(word)); });
      output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    };
    input.addEventListener("input", apply);
    apply();
  }

  /* Copying uses the clipboard if the browser allows it, otherwise a selection. */
  async function copied(code) {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    }
  }
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const done = await copied(one("code", button.closest("details")));
      one(".copied", button.parentElement).textContent = done ? "copied" : "selected; press Ctrl+C";
    });
  }
});
