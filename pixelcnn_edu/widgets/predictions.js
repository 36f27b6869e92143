// What two widgets share: the histograms of a pixel, and the ways to a pixel of a picture.
const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const bits = (cents) => (cents / 100).toFixed(2);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

// Calls start(root, data, controls) once for each widget of that class in the page.
function startAll(name, start) {
  document.querySelectorAll(`.${name}:not([data-ready])`).forEach((root) => {
    const data = root.querySelector("script[type='application/json']");
    if (!data) return; // the live face
    root.dataset.ready = "";
    start(root, JSON.parse(data.textContent), Object.fromEntries(
      [...root.querySelectorAll("[data-control]")].map((c) => [c.dataset.control, c])));
  });
}

// The text beside a slider follows its value.
function label(control) {
  control.parentElement.querySelector("output").textContent = control.value;
}

function showHistograms(root, record, place) {
  record.bytes ??= unpack(record.bars);
  const values = record.values.slice(3 * place, 3 * place + 3);
  root.querySelectorAll(".pred-histogram").forEach((figure, channel) => {
    const part = (name) => figure.querySelector(`[data-part="${name}"]`);
    const start = (3 * place + channel) * record.size;
    const [peak, ...heights] = record.bytes.subarray(start, start + record.size);
    const known = values.slice(0, channel).map((value, c) => `${"rgb"[c]} = ${value}`).join(", ");
    part("name").textContent = "rgb"[channel] + (known && ` given ${known}`);
    part("value").textContent = values[channel];
    part("bits").textContent = bits(record.cents[3 * place + channel]);
    part("peak").textContent = peak;
    part("bars").setAttribute("d", `M0 0${heights.map((h) => `V${h}h1`).join("")}V0z`);
    part("mark").setAttribute("d", `M${values[channel] + 0.5} 0V100`);
  });
}

function showFrame(root, row, column) {
  const pictures = root.querySelector(".pred-pictures");
  pictures.style.setProperty("--row", row);
  pictures.style.setProperty("--column", column);
}

function pixelUnder(event, rows, columns) {
  const box = event.currentTarget.getBoundingClientRect();
  const part = (x, of, count) => clamp(Math.floor((x / of) * count), 0, count - 1);
  return [part(event.clientY - box.top, box.height, rows), part(event.clientX - box.left, box.width, columns)];
}

// Arrow keys on a picture call move(rows, columns).
function onArrows(picture, move) {
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    move(...step);
  });
}
