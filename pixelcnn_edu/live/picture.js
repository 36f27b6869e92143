// The figure of picture.py, over the engine that stands above it in the same script.
const SIZE = 32, CHANNELS = 3, PIXELS = SIZE * SIZE;
const MOST = 24; // bits at which the colours of the map end: what a uniform guess at a pixel costs
const PATIENCE = 25; // milliseconds of work, after which the page may react to the reader
const FRAME = 16; // milliseconds for which each row of a sample is shown, when rows come faster

// What the reader sees follows from this: the picture, what was last computed for it, and the same
// before the last change.
class LivePicture {
  constructor(root, data) {
    Object.assign(this, { root, data, row: 16, column: 16, tool: "look", shown: "bits", turn: 0 });
    this.image = new Uint8Array(PIXELS * CHANNELS);
    this.result = null; // { bits, params } of the picture, params where a network computed them
    this.before = null; // { image, params } before the last change
    this.network = null;
    this.part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.control = (name) => root.querySelector(`[data-control="${name}"]`);
    this.button = (name) => root.querySelector(`[data-do="${name}"]`);
    this.listen();
    this.readSprite();
  }

  // ---- Pictures

  async readSprite() {
    const sprite = new Image();
    sprite.src = this.data.sprite;
    await sprite.decode();
    this.part("stored").append(...this.data.pictures.map((name, place) => {
      const button = Object.assign(document.createElement("button"), { type: "button" });
      button.setAttribute("aria-label", name);
      button.style.backgroundImage = `url(${this.data.sprite})`;
      button.style.backgroundPosition = `${(100 * place) / (this.data.pictures.length - 1)}% 0`;
      button.addEventListener("click", () => this.replace(this.levels(sprite, place * SIZE), name));
      return button;
    }));
    const { start, pictures, bits } = this.data;
    this.result = { bits: Float64Array.from(bits), params: null };
    this.image = this.levels(sprite, start * SIZE);
    this.mark(pictures[start]);
    this.show();
  }

  // The levels of a square of a drawable, scaled to 32x32.
  levels(source, left = 0, top = 0, side = SIZE) {
    const canvas = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.fillStyle = "#fff"; // where an upload is transparent
    context.fillRect(0, 0, SIZE, SIZE);
    context.drawImage(source, left, top, side, side, 0, 0, SIZE, SIZE);
    const { data } = context.getImageData(0, 0, SIZE, SIZE);
    return Uint8Array.from({ length: PIXELS * CHANNELS }, (_, i) => data[i + Math.floor(i / 3)]);
  }

  async upload(file) {
    try {
      const bitmap = await createImageBitmap(file);
      const side = Math.min(bitmap.width, bitmap.height); // the square in the middle
      const left = (bitmap.width - side) / 2, top = (bitmap.height - side) / 2;
      this.replace(this.levels(bitmap, left, top, side));
    } catch {
      this.part("words").textContent =
        `${file.name} is no picture that this browser reads; try a PNG or a JPEG.`;
    }
  }

  replace(image, name = null) {
    this.remember();
    this.image = image;
    this.mark(name);
    this.changed();
  }

  mark(name) {
    for (const button of this.part("stored").children)
      button.setAttribute("aria-pressed", button.getAttribute("aria-label") === name);
  }

  // ---- Changes

  color() {
    const value = parseInt(this.control("color").value.slice(1), 16);
    return [value >> 16, (value >> 8) & 255, value & 255];
  }

  remember() {
    this.before = { image: this.image.slice(), params: this.result?.params ?? null };
  }

  paint(row, column) {
    this.image.set(this.color(), (row * SIZE + column) * CHANNELS);
    this.mark(null);
    this.changed();
  }

  undo() {
    if (!this.before) return;
    const { image } = this.before;
    this.remember();
    this.image = image;
    this.mark(null);
    this.changed();
  }

  changed() {
    this.result = null; // nothing is known of this picture yet
    this.show();
    this.score();
  }

  // ---- The network

  async load() {
    const state = this.part("state"), inside = this.root.querySelector("[data-live-weights]");
    const there = (globalThis.pixelcnnEduWeights ??= {});
    this.disable("load", true);
    state.textContent = "Loading ...";
    try {
      if (inside.textContent) there[this.data.name] ??= JSON.parse(inside.textContent);
      this.network = await networkFor(await weightsOf(this.data.name, this.data.address));
      state.textContent = `The network runs here, in ${this.network.name}.`;
      this.button("load").textContent = "Loaded";
      this.score();
    } catch (error) {
      this.disable("load", false);
      state.textContent =
        `The network is not there: ${error.message}. In a notebook, run the cell again.`;
    }
    this.show();
  }

  // Take a walk in portions of so many milliseconds, so that the page stays alive; in a pause it
  // may show what there is. False where a later walk has begun: there is one network, and what it
  // remembers is of one picture.
  async portions(rows, milliseconds, onPause, pause = 0) {
    const mine = ++this.turn;
    let start = performance.now();
    for (const row of rows) {
      if (performance.now() - start < milliseconds) continue;
      onPause();
      await new Promise((resume) => setTimeout(resume, pause));
      if (mine !== this.turn) return false;
      start = performance.now();
    }
    return true;
  }

  async score() {
    if (!this.network) return;
    const { network, image } = this, likelihood = new DiscretizedLogisticMixture(network.config);
    const count = network.params.length;
    const result = {
      bits: new Float64Array(image.length),
      params: new Float64Array(PIXELS * count),
    };
    const rows = walk(network, (r, c, params) => {
      const place = r * SIZE + c, pixel = pixelOf(image, network, r, c);
      result.params.set(params, place * count);
      result.bits.set(likelihood.bits(params, pixel), place * CHANNELS);
      return pixel;
    });
    if (!(await this.portions(rows, PATIENCE, () => {}))) return;
    this.result = result;
    this.show();
  }

  async complete() {
    const value = (name) => Number(this.control(name).value);
    this.remember();
    this.mark(null);
    this.image = this.image.slice();
    this.result = null;
    const first = value("rows") * SIZE, uniform = uniforms(value("seed"));
    const rows = complete(this.network, this.image, first, uniform, value("temperature"));
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const done = still ? await this.portions(rows, PATIENCE, () => {})
      : await this.portions(rows, 0, () => this.show(), FRAME); // row by row
    if (done) this.changed();
  }

  disable(name, disabled) { // not the attribute, with which a button would lose the focus
    this.button(name).setAttribute("aria-disabled", disabled);
  }

  // ---- What the reader sees

  // How far each prediction moved in the last change: the largest difference of a parameter. Null
  // where that is not known, because a network has not seen both pictures.
  moves() {
    const now = this.result?.params, then = this.before?.params;
    if (!now || !then) return null;
    const count = now.length / PIXELS, all = new Float64Array(PIXELS);
    for (let i = 0; i < now.length; i++) {
      const place = Math.floor(i / count);
      all[place] = Math.max(all[place], Math.abs(now[i] - then[i]));
    }
    return all;
  }

  shade(part) {
    const { ramp } = this.data, place = Math.min(Math.max(part, 0), 1) * (ramp.length - 1);
    const low = Math.floor(place), high = Math.ceil(place);
    return ramp[low].map((level, i) => level + (place - low) * (ramp[high][i] - level));
  }

  draw(name, colors) {
    const context = this.part(name).querySelector("canvas").getContext("2d");
    const pixels = context.createImageData(SIZE, SIZE);
    for (let place = 0; place < PIXELS; place++)
      pixels.data.set([...colors(place), 255], 4 * place);
    context.putImageData(pixels, 0, 0);
  }

  show() {
    const { result, image } = this, moves = this.moves(), unknown = [200, 204, 208];
    const maps = {
      bits: (place) => (result ? this.shade(this.cost(place) / MOST) : unknown),
      // Four powers of ten; what has not moved at all is grey.
      moved: (place) => (moves?.[place] ? this.shade(1 + Math.log10(moves[place]) / 4) : unknown),
    };
    const ends = { bits: ["0", `${MOST} bits and more`], moved: ["moved by 0.0001", "1 and more"] };
    this.draw("picture", (place) => image.subarray(3 * place, 3 * place + 3));
    const computing = this.network && !result; // the last map stays, or it would flicker
    if (!computing) this.draw("map", maps[this.shown]);
    [this.part("low").textContent, this.part("high").textContent] = ends[this.shown];
    const places = { row: this.row, column: this.column, kept: this.control("rows").value };
    for (const [name, value] of Object.entries(places))
      this.root.style.setProperty(`--${name}`, value);
    this.disable("complete", !this.network);
    this.disable("undo", !this.before);
    this.part("words").textContent = this.words(moves);
  }

  cost(place) {
    const [red, green, blue] = this.result.bits.subarray(3 * place, 3 * place + 3);
    return red + green + blue;
  }

  words(moves) {
    const { row, column, result, image } = this, place = row * SIZE + column;
    const [r, g, b] = image.subarray(3 * place, 3 * place + 3);
    const here = `Row ${row}, column ${column}: r ${r}, g ${g}, b ${b}.`;
    if (!result && this.network) return `${here} Computing ...`;
    if (!result) return `${here} Load the network to see what this picture costs.`;
    const [red, green, blue] = result.bits.subarray(3 * place, 3 * place + 3);
    const total = result.bits.reduce((sum, bits) => sum + bits);
    const sentences = [
      `${here} It costs ${red.toFixed(2)} bits for r, ${green.toFixed(2)} for g given r,`,
      `${blue.toFixed(2)} for b given both: ${this.cost(place).toFixed(2)}.`,
      `The picture costs ${Math.round(total).toLocaleString("en")} bits,`,
      `${(total / image.length).toFixed(2)} bits/dim.`,
    ];
    if (this.shown === "moved") sentences.push(this.movement(moves));
    return sentences.join(" ");
  }

  movement(moves) {
    if (!this.network) return "Load the network, then change the picture.";
    if (!moves) return "Change the picture to see which predictions move.";
    const then = this.before.image;
    const changed = this.image.findIndex((level, i) => level !== then[i]);
    if (changed < 0) return "The last change left the picture as it was.";
    const first = Math.floor(changed / CHANNELS), moved = moves.filter((move) => move > 0).length;
    const early = moves.subarray(0, first + 1).filter((move) => move > 0).length;
    const row = Math.floor(first / SIZE), column = first % SIZE;
    return `The first pixel that changed is in row ${row}, column ${column}. `
      + `${moved} predictions moved: ${early} at it or before it, ${moved - early} after it. `
      + `The colour is the largest move of a parameter; grey did not move.`;
  }

  // ---- The reader

  listen() {
    const { root } = this;
    // A key pressed in the figure is meant for it, not for the notebook around it.
    root.addEventListener("keydown", (event) => {
      if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
    });
    for (const name of ["picture", "map"]) this.listenTo(this.part(name), name === "picture");
    const filled = (level) =>
      Uint8Array.from({ length: PIXELS * CHANNELS }, (_, i) => level(i % CHANNELS));
    const act = {
      load: () => this.network || this.load(),
      undo: () => this.undo(),
      complete: () => this.network && this.complete(),
      noise: () => this.replace(filled(() => 256 * Math.random())),
      flat: () => this.replace(filled((channel) => this.color()[channel])),
    };
    for (const [name, action] of Object.entries(act))
      this.button(name).addEventListener("click", ({ currentTarget }) =>
        currentTarget.getAttribute("aria-disabled") === "true" || action());
    for (const [kind, chosen] of [["map", "shown"], ["tool", "tool"]]) {
      const buttons = [...root.querySelectorAll(`button[data-${kind}]`)];
      for (const button of buttons) button.addEventListener("click", () => {
        this[chosen] = button.dataset[kind];
        for (const other of buttons) other.setAttribute("aria-pressed", other === button);
        root.dataset.tool = this.tool;
        this.show();
      });
    }
    for (const name of ["rows", "temperature"]) {
      const control = this.control(name), output = control.parentElement.querySelector("output");
      output.textContent = control.value; // a browser may have kept it from an earlier visit
      control.addEventListener("input", () => {
        output.textContent = control.value;
        this.show();
      });
    }
    this.control("file").addEventListener("change", ({ target }) => {
      if (target.files[0]) this.upload(target.files[0]);
      target.value = ""; // the same file may be chosen again
    });
  }

  listenTo(picture, paintable) {
    const under = (event) => {
      const box = picture.getBoundingClientRect();
      const part = (x, of) => Math.min(Math.max(Math.floor((x / of) * SIZE), 0), SIZE - 1);
      return [part(event.clientY - box.top, box.height), part(event.clientX - box.left, box.width)];
    };
    const visit = ([row, column], paint) => {
      Object.assign(this, { row, column });
      if (paint) this.paint(row, column);
      else this.show();
    };
    const paints = () => paintable && this.tool === "paint";
    let pressed = false;
    picture.addEventListener("pointerdown", (event) => {
      pressed = true;
      picture.setPointerCapture(event.pointerId);
      if (paints()) this.remember(); // a stroke is one change
      visit(under(event), paints());
    });
    picture.addEventListener("pointermove", (event) => {
      const [row, column] = under(event);
      if (pressed && (row !== this.row || column !== this.column)) visit([row, column], paints());
    });
    for (const end of ["pointerup", "pointercancel"])
      picture.addEventListener(end, () => { pressed = false; });
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    picture.addEventListener("keydown", (event) => {
      const step = steps[event.key];
      const inside = (place) => Math.min(Math.max(place, 0), SIZE - 1);
      if (step) visit([inside(this.row + step[0]), inside(this.column + step[1])], false);
      else if (event.key === " " && paintable) {
        this.remember();
        this.paint(this.row, this.column);
      } else return;
      event.preventDefault(); // the page would scroll
    });
  }
}

for (const root of document.querySelectorAll(".live-card:not([data-ready])")) {
  root.dataset.ready = "";
  root.dataset.tool = "look";
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const colors = data.ramp.map((color) => `rgb(${color})`);
  root.style.setProperty("--ramp", `linear-gradient(90deg, ${colors})`);
  new LivePicture(root, data);
}
