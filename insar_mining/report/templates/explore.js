"use strict";
(function () {
  const root = document.getElementById("explore-view");
  const data = JSON.parse(document.getElementById("explore-data").textContent);
  const [widthKm, heightKm] = data.size_km;
  const SVG = root.querySelector("svg").namespaceURI;
  const NO_DATA = 255, STEPS = 254;

  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const element = (name, attributes, parent, text) => {
    const made = document.createElement(name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  };
  const drawn = (name, attributes, parent) => {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    parent.appendChild(made);
    return made;
  };
  const day = (number) => new Date(Math.round(number) * 864e5).toISOString().slice(0, 10);
  const written = (layer, value) =>
    value === NO_DATA ? "no data"
      : layer.kind === "day" ? day(layer.low + (layer.high - layer.low) * value / STEPS)
        : (layer.low + (layer.high - layer.low) * value / STEPS).toFixed(2);

  data.layers.forEach((layer) => { layer.values = bytes(layer.values); layer.palette = bytes(layer.palette); });
  data.series.values = bytes(data.series.values);

  /* controls */
  const controls = element("div", { class: "explore-controls" }, root);
  const choice = (label, chosen) => {
    const box = element("label", {}, controls, label + " ");
    const select = element("select", {}, box);
    data.layers.forEach((layer, index) => element("option", { value: index }, select, layer.label));
    select.value = String(chosen);
    return select;
  };
  const last = data.layers.length - 1;
  const left = choice("Left", Math.min(1, last));
  const right = choice("Right", Math.min(2, last));
  const slide = element("input", { type: "range", min: 0, max: 100, value: 50 },
    element("label", {}, controls, "Divide at "));
  const button = (label, name, action) => {
    const made = element("button", { type: "button", "aria-label": name }, controls, label);
    made.addEventListener("click", action);
  };

  /* map: two canvases, the right one clipped, and the outline on top */
  const stage = element("div", {
    class: "explore-stage", tabindex: "0", role: "application",
    "aria-label": "Map. Arrow keys move, plus and minus zoom, 0 shows all, Enter reads the cell in the middle."
  }, root);
  stage.style.aspectRatio = widthKm + " / " + heightKm;
  const sheet = element("div", { class: "explore-sheet" }, stage);
  const canvases = [element("canvas", {}, sheet), element("canvas", {}, sheet)];
  const overlay = drawn("svg", { viewBox: `0 0 ${widthKm} ${heightKm}`, preserveAspectRatio: "none", "aria-hidden": "true" }, sheet);
  data.outline.forEach((ring) => {
    for (const kind of ["halo", "line"])
      drawn("polygon", { class: kind, points: ring.map((point) => point.join(",")).join(" ") }, overlay);
  });
  const mark = drawn("circle", { class: "mark", r: 0, cx: 0, cy: 0 }, overlay);
  const divider = element("div", { class: "explore-divider", "aria-hidden": "true" }, stage);

  function paint(canvas, layer) {
    canvas.width = layer.columns;
    canvas.height = layer.rows;
    const context = canvas.getContext("2d");
    const image = context.createImageData(layer.columns, layer.rows);
    for (let cell = 0; cell < layer.values.length; cell++) {
      const value = layer.values[cell];
      if (value === NO_DATA) continue;
      image.data.set(layer.palette.subarray(3 * value, 3 * value + 3), 4 * cell);
      image.data[4 * cell + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }

  let scale = 1, east = 0, south = 0;  // zoom, and the shares of the map left of and above the view
  function place() {
    const room = 1 - 1 / scale;
    east = Math.min(Math.max(east, 0), room);
    south = Math.min(Math.max(south, 0), room);
    overlay.style.setProperty("--zoom", scale);
    sheet.style.transform = `scale(${scale}) translate(${-100 * east}%, ${-100 * south}%)`;
    const share = slide.value / 100;
    divider.style.left = 100 * share + "%";
    canvases[1].style.clipPath = `inset(0 0 0 ${100 * (east + share / scale)}%)`;
  }
  function zoom(factor, x, y) {
    const next = Math.min(Math.max(scale * factor, 1), 40);
    east += x / scale - x / next;
    south += y / scale - y / next;
    scale = next;
    place();
  }
  button("+", "Zoom in", () => zoom(1.5, 0.5, 0.5));
  button("−", "Zoom out", () => zoom(1 / 1.5, 0.5, 0.5));
  button("All", "All: show the whole map", () => { scale = 1; place(); });

  const within = (event) => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...within(event));
  }, { passive: false });
  let from = null, moved = false;
  stage.addEventListener("pointerdown", (event) => { from = within(event); moved = false; stage.setPointerCapture(event.pointerId); });
  stage.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = within(event);
    if (Math.hypot(x - from[0], y - from[1]) > 0.005 || moved) {
      moved = true;
      east -= (x - from[0]) / scale;
      south -= (y - from[1]) / scale;
      from = [x, y];
      place();
    }
  });
  stage.addEventListener("pointerup", (event) => {
    if (from && !moved) { const [x, y] = within(event); read(east + x / scale, south + y / scale); }
    from = null;
  });
  stage.addEventListener("keydown", (event) => {
    const step = 0.1 / scale;
    const keys = {
      ArrowLeft: () => { east -= step; }, ArrowRight: () => { east += step; },
      ArrowUp: () => { south -= step; }, ArrowDown: () => { south += step; },
      "+": () => zoom(1.5, 0.5, 0.5), "=": () => zoom(1.5, 0.5, 0.5), "-": () => zoom(1 / 1.5, 0.5, 0.5),
      0: () => { scale = 1; }, Enter: () => read(east + 0.5 / scale, south + 0.5 / scale)
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); place(); }
  });

  /* legends */
  const legends = element("div", { class: "explore-legends" }, root);
  function legend(layer, side) {
    const box = element("div", {}, legends);
    const bar = element("canvas", { width: 255, height: 1, role: "img", "aria-label": `Colours of ${layer.label}` }, box);
    const context = bar.getContext("2d");
    const image = context.createImageData(255, 1);
    for (let value = 0; value <= STEPS; value++) {
      image.data.set(layer.palette.subarray(3 * value, 3 * value + 3), 4 * value);
      image.data[4 * value + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    element("span", {}, box, `${side}: ${layer.label}, ${written(layer, 0)} to ${written(layer, STEPS)}`);
  }
  function repaint() {
    const shown = [data.layers[left.value], data.layers[right.value]];
    legends.textContent = "";
    shown.forEach((layer, side) => { paint(canvases[side], layer); legend(layer, ["Left", "Right"][side]); });
  }
  [left, right].forEach((select) => select.addEventListener("change", repaint));
  slide.addEventListener("input", place);

  /* what a clicked place reads: a line, a chart, and its numbers to take away */
  const answer = element("div", { class: "explore-answer", "aria-live": "polite" }, root);
  element("p", {}, answer, "Click a place on the map to see its coherence in every pair.");
  function at(raster, x, y, plane) {
    const column = Math.min(Math.floor(x * raster.columns), raster.columns - 1);
    const row = Math.min(Math.floor(y * raster.rows), raster.rows - 1);
    return raster.values[(plane || 0) * raster.rows * raster.columns + row * raster.columns + column];
  }
  function read(x, y) {
    x = Math.min(Math.max(x, 0), 1);
    y = Math.min(Math.max(y, 0), 1);
    mark.setAttribute("cx", x * widthKm);
    mark.setAttribute("cy", y * heightKm);
    mark.setAttribute("r", 0.008 * widthKm);
    answer.textContent = "";
    const where = `${(x * widthKm).toFixed(2)} km east, ${((1 - y) * heightKm).toFixed(2)} km north of the map's corner`;
    element("p", {}, answer, where + ": " + data.layers.map((layer) => `${layer.label} ${written(layer, at(layer, x, y))}`).join("; ") + ".");
    const series = data.series.pairs.map((name, index) => [name, data.series.middle[index], at(data.series, x, y, index)]);
    chart(series);
    const rows = series.map(([name, , value]) => `${name},${value === NO_DATA ? "" : (value / STEPS).toFixed(3)}`);
    element("a", { download: "coherence_at_place.csv", href: "data:text/csv," + encodeURIComponent("pair,coherence\n" + rows.join("\n") + "\n") },
      answer, "Coherence of this place as CSV");
    if (data.series.cells > 1)
      element("p", { class: "note" }, answer, `Each value is the mean of ${data.series.cells} x ${data.series.cells} cells.`);
  }
  function chart(series) {
    const width = 800, height = 180, days = data.series.middle;
    const first = days[0], span = Math.max(days[days.length - 1] - first, 1);
    const px = (moment) => 40 + (width - 50) * (moment - first) / span;
    const py = (value) => height - 25 - (height - 35) * value / STEPS;
    const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, class: "explore-chart", role: "img",
      "aria-label": "Coherence of the chosen place in every pair" }, answer);
    for (const level of [0, 0.5, 1]) {
      drawn("line", { class: "grid", x1: 40, x2: width - 10, y1: py(level * STEPS), y2: py(level * STEPS) }, svg);
      drawn("text", { x: 32, y: py(level * STEPS) + 4, "text-anchor": "end" }, svg).textContent = level;
    }
    for (const [moment, anchor] of [[first, "start"], [days[days.length - 1], "end"]])
      drawn("text", { x: px(moment), y: height - 6, "text-anchor": anchor }, svg).textContent = moment > 366 ? day(moment) : "";
    const known = series.filter(([, , value]) => value !== NO_DATA);
    drawn("polyline", { class: "line", points: known.map(([, moment, value]) => px(moment) + "," + py(value)).join(" ") }, svg);
    known.forEach(([name, moment, value]) => {
      const dot = drawn("circle", { cx: px(moment), cy: py(value), r: 3 }, svg);
      drawn("title", {}, dot).textContent = `${name}: ${(value / STEPS).toFixed(2)}`;
    });
  }

  repaint();
  place();
  const asked = /^#place=([\d.]+),([\d.]+)$/.exec(location.hash);  // shares of width and height from the upper left
  if (asked) read(Number(asked[1]), Number(asked[2]));
  root.dataset.ready = "true";
})();
