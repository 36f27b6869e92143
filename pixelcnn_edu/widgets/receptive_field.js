(() => {
  // Fields of one network and depth: a level from 0 to 15 for each (output pixel, earlier pixel), two to a byte.
  const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  function start(root) {
    root.dataset.ready = "";
    pixelcnnEduOwnIds(root);
    const { size, interval, own, fields } = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const control = Object.fromEntries([...root.querySelectorAll("[data-control]")].map((c) => [c.dataset.control, c]));
    const first = root.querySelector(".rf-panel"), panels = [first, first.cloneNode(true)];
    first.after(panels[1]);
    let timer = null;

    function draw(panel, network) {
      const bytes = unpack(fields[network][control.depth.value - control.depth.min]);
      const row = +control.row.value, column = +control.column.value;
      const here = row * size + column;
      let seen = 0;
      panel.querySelectorAll("svg g").forEach((cell, place) => {
        const index = (here * (here - 1)) / 2 + place;
        const level = place < here ? (index & 1 ? bytes[index >> 1] & 15 : bytes[index >> 1] >> 4) : 0;
        seen += level > 0;
        cell.dataset.level = level;
        cell.dataset.kind = place === here ? "output" : place > here ? "later" : level ? "seen" : "blind";
      });
      panel.querySelector(".rf-name").textContent = network;
      panel.querySelector(".rf-words").textContent =
        `Output pixel: row ${row}, column ${column}. It depends on ${seen} of the ${here} pixels before it. ` +
        `Not seen: ${here - seen}.`;
      panel.querySelector(".rf-own").textContent = own[control.order.value];
    }

    function redraw() {
      for (const name of ["depth", "row", "column"]) {
        root.querySelector(`label[for="${control[name].id}"] output`).textContent = control[name].value;
      }
      draw(panels[0], control.network.value);
      panels[1].hidden = !(control.second.value in fields);
      if (!panels[1].hidden) draw(panels[1], control.second.value);
    }

    function move(row, column) {
      control.row.value = row; // a range input keeps its value inside its limits
      control.column.value = column;
      redraw();
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      control.play.textContent = "play depth";
    }

    function play() {
      if (timer !== null) return stop();
      control.play.textContent = "stop";
      control.depth.value = control.depth.min;
      redraw();
      timer = setInterval(() => {
        control.depth.value = +control.depth.value + 1;
        redraw();
        if (control.depth.value === control.depth.max) stop();
      }, interval);
    }

    root.addEventListener("input", redraw);
    control.play.addEventListener("click", play);
    panels.forEach((panel) => {
      const svg = panel.querySelector("svg");
      svg.addEventListener("click", (event) => {
        const cell = event.target.closest("g");
        if (cell) move(cell.dataset.row, cell.dataset.column);
      });
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (!step) return;
        event.preventDefault();
        move(+control.row.value + step[0], +control.column.value + step[1]);
      });
    });
    redraw(); // a browser may have kept the controls of an earlier visit
  }

  document.querySelectorAll(".rf-explorer:not([data-ready])").forEach((root) => {
    if (root.querySelector("[data-control]")) start(root);
  });
})();
