(() => {
  const tenths = (value) => String(Math.round(10 * value) / 10);
  const whole = (value) => value.toLocaleString("en-US");

  function start(root) {
    root.dataset.ready = "";
    pixelcnnEduOwnIds(root);
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const { width, right, height, line, ticks, steps, units, kinds, runs, zoom, marked, titles } = data;
    const control = Object.fromEntries([...root.querySelectorAll("[data-control]")].map((c) => [c.dataset.control, c]));
    const boxes = [...root.querySelectorAll("[data-rung]")], svg = root.querySelector(".lad-chart > svg");
    const groups = [...svg.querySelectorAll("g")], names = [...root.querySelectorAll(".lad-names span")];
    const heads = [...root.querySelectorAll(".lad-title")];
    let cursor = Infinity, places = []; // the place chosen, and all where it can stand

    function limits(scaled, zoomed) {
      const values = scaled.flatMap((points) => (zoomed ? points.slice(-1) : points).map(([, y]) => y));
      const low = Math.min(...values), high = Math.max(...values), span = Math.max(high - low, 0.1);
      return zoomed ? [low - 0.15 * span, high + span] : [low - 0.05 * span, high + 0.05 * span];
    }

    function tickMarks(low, high, most) {
      const [step, decimals] = steps.find(([each]) => high - low <= (most - 1) * each), marks = [];
      for (let k = Math.ceil(low / step); k <= Math.floor(high / step); k++) marks.push(k * step);
      return marks.map((value) => [value, value.toFixed(decimals)]);
    }

    // Heights at least a line apart, as near to the wanted ones as can be: overlapping labels form blocks.
    function spread(wanted) {
      const order = wanted.map((_, i) => i).sort((i, j) => wanted[i] - wanted[j]), blocks = [], placed = [];
      order.forEach((i, rank) => {
        blocks.push([wanted[i] - rank * line, 1]);
        while (blocks.length > 1 && blocks.at(-2)[0] / blocks.at(-2)[1] > blocks.at(-1)[0] / blocks.at(-1)[1]) {
          const [total, count] = blocks.pop(), above = blocks.pop();
          blocks.push([above[0] + total, above[1] + count]);
        }
      });
      const starts = blocks.flatMap(([total, count]) => Array(count).fill(total / count));
      const top = line / 2, bottom = height - line / 2 - line * (wanted.length - 1);
      order.forEach((i, rank) => (placed[i] = Math.min(Math.max(starts[rank], top), bottom) + rank * line));
      return placed;
    }

    function words(lists, shown, place, axis) {
      const found = kinds.map(() => []), missing = [];
      lists.forEach((points, i) => {
        const past = points.filter(([x]) => x <= place).at(-1);
        if (shown[i] && past) found[past[2]].push([past[1], runs[i].name]);
        else if (shown[i]) missing.push(runs[i].name);
      });
      if (!shown.includes(true)) return "No rung is shown: tick one.";
      let text = `At ${whole(place)} ${axis}, the last bits/dim recorded so far, the lowest first.`;
      found.forEach((pairs, kind) => {
        const values = pairs.sort((a, b) => a[0] - b[0]).map(([y, name]) => `${name} ${y.toFixed(4)}`);
        if (values.length) text += ` On ${kinds[kind]}: ${values.join(", ")}.`;
      });
      return text + (missing.length ? ` Nothing recorded yet: ${missing.join(", ")}.` : "");
    }

    function showTicks(name, marks, side, unit) {
      root.querySelectorAll(`.lad-${name} span`).forEach((span, k) => {
        const [place, text] = marks[k] ?? ["0", ""];
        span.setAttribute("style", `${side}:${place}${unit}`);
        span.textContent = text;
      });
    }

    function redraw() {
      const measure = control.measure.value, axis = control.axis.value, unit = units[axis];
      const lists = runs.map((run) => run.points[axis][measure]), shown = boxes.map((box) => box.checked);
      let scaled = lists.filter((points, i) => shown[i] && points.length);
      if (!scaled.length) scaled = lists.filter((points) => points.length);
      if (!scaled.length) scaled = [[[0, 0], [1, 1]]];
      const [low, high] = limits(scaled, control.range.value === zoom);
      places = [...new Set(scaled.flat().map(([x]) => x))].sort((a, b) => a - b);
      control.cursor.max = places.length - 1;
      control.cursor.value = Math.max(0, places.filter((x) => x <= cursor).length - 1);
      const place = places[control.cursor.value], last = places.at(-1);
      const px = (x) => tenths((right * x) / last), y = (bits) => (height * (high - bits)) / (high - low);
      const ends = lists.map((points, i) => i).filter((i) => shown[i] && lists[i].length);
      const tops = spread(ends.map((i) => y(lists[i].at(-1)[1])));
      const point = ([x, bits]) => `${px(x)} ${tenths(y(bits))}`;
      lists.forEach((points, i) => {
        const drawn = ends.indexOf(i), end = points.at(-1), past = points.filter(([x]) => x <= place).at(-1);
        const paths = { leader: "", line: "", at: "", end: "" };
        if (drawn >= 0) {
          paths.leader = `M${point(end)}H${right + 4}L${width} ${tenths(tops[drawn])}`;
          paths.line = "M" + points.map(point).join("L");
          if (past) paths.at = `M${point(past)}h0`;
          if (runs[i].final && measure === marked) paths.end = `M${point(end)}h0`;
        }
        for (const [part, d] of Object.entries(paths)) groups[i].querySelector(`.lad-${part}`).setAttribute("d", d);
        names[i].setAttribute("style", drawn < 0 ? "display:none" : `top:${tenths(tops[drawn])}px`);
      });
      const xTicks = tickMarks(0, last / unit, ticks.x), yTicks = tickMarks(low, high, ticks.y);
      const rows = yTicks.map(([bits]) => `M0 ${tenths(y(bits))}H${right}`);
      const columns = xTicks.map(([x]) => `M${px(x * unit)} ${height}v-5`);
      svg.querySelector(".lad-grid").setAttribute("d", [...rows, ...columns, `M0 0V${height}H${right}`].join(""));
      svg.querySelector(".lad-cursor").setAttribute("d", `M${px(place)} 0V${height}`);
      showTicks("x", xTicks.map(([x, text]) => [tenths(((right / width) * 100 * x * unit) / last), text]), "left", "%");
      showTicks("y", yTicks.map(([bits, text]) => [tenths(y(bits)), text]), "top", "px");
      heads[0].textContent = `bits/dim on ${measure}`;
      heads[1].textContent = titles[axis];
      root.querySelector(".lad-words").textContent = words(lists, shown, place, axis);
      control.cursor.setAttribute("aria-valuetext", `${whole(place)} ${axis}`);
    }

    function moveTo(index) {
      cursor = places[Math.min(Math.max(index, 0), places.length - 1)];
      redraw();
    }

    function follow(event) {
      const box = svg.getBoundingClientRect();
      const x = (((event.clientX - box.left) / box.width) * width * places.at(-1)) / right;
      const gaps = places.map((place) => Math.abs(place - x));
      moveTo(gaps.indexOf(Math.min(...gaps)));
    }

    function showAll(checked) {
      for (const box of boxes) box.checked = checked;
      redraw();
    }

    root.addEventListener("input", (event) => {
      if (event.target === control.cursor) return moveTo(+control.cursor.value);
      if (event.target === control.axis) cursor = Infinity;
      redraw();
    });
    control.all.addEventListener("click", () => showAll(true));
    control.none.addEventListener("click", () => showAll(false));
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("keydown", (event) => {
      const index = +control.cursor.value, end = places.length - 1;
      const moves = { ArrowLeft: index - 1, ArrowDown: index - 1, ArrowRight: index + 1, ArrowUp: index + 1 };
      const to = { ...moves, PageDown: index - 10, PageUp: index + 10, Home: 0, End: end }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      moveTo(to);
    });
    redraw(); // a browser may have kept the controls of an earlier visit
  }

  document.querySelectorAll(".lad-explorer:not([data-ready])").forEach((root) => {
    if (root.querySelector("[data-control]")) start(root);
  });
})();
