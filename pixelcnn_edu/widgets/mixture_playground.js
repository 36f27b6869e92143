(() => {
  const LEVELS = 256, MIDDLE = 127.5;
  const sigmoid = (z) => 1 / (1 + Math.exp(-z));
  const logSigmoid = (z) => Math.min(z, 0) - Math.log1p(Math.exp(-Math.abs(z)));

  // One component's log-probability of a level. a, b: the bin's edges, counted in scales from the mean; an end is open.
  function logBin(v, { mean, scale }, released) {
    const z = (v - mean) / scale, half = 0.5 / scale;
    const a = v === LEVELS - 1 ? Infinity : z + half, b = v === 0 ? -Infinity : z - half;
    const closed = v > 0 && v < LEVELS - 1;
    if (released && closed) {
      const difference = sigmoid(a) - sigmoid(b);
      if (difference > 1e-5) return Math.log(difference); // its floor of 1e-12 is never reached here
      return logSigmoid(z) + logSigmoid(-z) - Math.log(scale / MIDDLE) - Math.log(MIDDLE); // the density in the middle
    }
    return logSigmoid(a) + logSigmoid(-b) + (closed ? Math.log(-Math.expm1(-1 / scale)) : 0);
  }

  // log2 of each level's probability, by the exact form or by the released code's.
  function log2Probabilities(components, released) {
    return Array.from({ length: LEVELS }, (_, v) => {
      const logs = components.map((c) => Math.log(c.share) + logBin(v, c, released)), most = Math.max(...logs);
      return (most + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - most), 0))) / Math.LN2;
    });
  }

  // The mixture's density times the width of a bin, anywhere.
  function density(components, place) {
    return components.reduce((sum, { mean, scale, share }) => {
      const z = (place - mean) / scale;
      return sum + (share * sigmoid(z) * sigmoid(-z)) / scale;
    }, 0);
  }

  function nice(value) {
    const power = 10 ** Math.floor(Math.log10(value));
    return [1, 2, 3, 5, 8, 10].find((step) => step * power >= value) * power;
  }

  const cost = (log2) => Math.max(0, -log2).toFixed(2);
  const tick = (value) => String(+value.toPrecision(6));
  const probability = (p) => (p >= 0.00005 ? p.toFixed(4) : "less than 0.0001");

  function start(root) {
    root.dataset.ready = "";
    const frame = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const find = (name, within = root) => within.querySelector(`[data-control="${name}"]`);
    const sets = [...root.querySelectorAll("fieldset")], svg = root.querySelector("svg.mix-all");
    const y = (share, top = frame.top, bottom = frame.bottom) => bottom - share * (bottom - top);

    function makePanel(name, middle, reach) {
      const low = middle - reach, high = middle + reach;
      const inset = frame.inset[name], outward = frame.outward[name];
      const levels = Array.from({ length: LEVELS }, (_, v) => v).filter((v) => low < v && v < high);
      const px = (place) =>
        frame.left + Math.min(Math.max((place - low) / (high - low), 0), 1) * (frame.right - frame.left);
      const path = (points) => "M" + points.map(([x, h]) => `${x.toFixed(1)} ${h.toFixed(1)}`).join(" ");
      function places(components) {
        const all = Array.from({ length: frame.even + 1 }, (_, i) => low + ((high - low) * i) / frame.even);
        for (const { mean, scale } of components) {
          for (let i = -frame.around; i <= frame.around; i++) all.push(mean + (i / 4) * scale);
        }
        return all.filter((place) => place >= low && place <= high).sort((p, q) => p - q);
      }
      function bar(v, share) {
        const left = px(v - 0.5 + inset - (v === 0) * outward), right = px(v + 0.5 - inset + (v === LEVELS - 1) * outward);
        return `M${left.toFixed(1)} ${frame.bottom}V${y(share).toFixed(1)}H${right.toFixed(1)}V${frame.bottom}`;
      }
      const curve = (some, factor) => path(places(some).map((place) => [px(place), y(factor * density(some, place))]));
      const line = (values, top, bottom) => path(levels.map((v) => [px(v), y(values[v], top, bottom)]));
      return { name, levels, px, places, bar, curve, line };
    }

    function read() {
      const count = +find("components").value;
      const components = sets.slice(0, count).map((set) => ({
        mean: +find("mean", set).value,
        scale: Math.exp(+find("log-scale", set).value) * MIDDLE,
        weight: +find("weight", set).value,
      }));
      const total = components.reduce((sum, c) => sum + c.weight, 0);
      for (const c of components) c.share = c.weight / total;
      return components;
    }

    function redraw() {
      const components = read(), level = +find("level").value, log = find("log").checked;
      const exact = log2Probabilities(components, false), released = log2Probabilities(components, true);
      const gap = exact.map((bits, v) => bits - released[v]);
      const whole = makePanel("all", (LEVELS - 1) / 2, (LEVELS - 1) / 2 + frame.beyond);
      const near = makePanel("near", level, frame.reach);
      const gapTop = nice(Math.max(...gap, 0.1)), paths = {}, texts = { "gap-top": tick(gapTop) };
      for (const panel of [whole, near]) {
        const heights = panel.places(components).map((place) => density(components, place));
        const top = nice(Math.max(0.001, ...heights, ...panel.levels.map((v) => 2 ** exact[v])));
        const depth = nice(Math.max(1, ...panel.levels.map((v) => -released[v])));
        const bars = (some) => some.map((v) => panel.bar(v, 2 ** exact[v] / top)).join("");
        const isEnd = (v) => v === 0 || v === LEVELS - 1;
        const parts = {
          bars: bars(panel.levels.filter((v) => !isEnd(v))),
          edges: bars(panel.levels.filter(isEnd)),
          here: bars([level]),
          density: panel.curve(components, 1 / top),
          exact: panel.line(exact.map((bits) => 1 + bits / depth), frame.top, frame.logBottom),
          released: panel.line(released.map((bits) => 1 + bits / depth), frame.top, frame.logBottom),
          gap: panel.line(gap.map((bits) => bits / gapTop), frame.gapTop, frame.bottom),
          cursor: `M${panel.px(level).toFixed(1)} ${frame.top}V${frame.bottom}l-4 7h8l-4-7`,
        };
        sets.forEach((_, k) => {
          const own = components.slice(k, k + 1);
          parts[`component${k + 1}`] = own.length ? panel.curve(own, 1 / top) : "";
          if (panel === whole) showNumber(k, own, whole, top);
        });
        const words = { top: tick(top), "half-top": tick(top / 2), depth: tick(-depth), "half-depth": tick(-depth / 2) };
        frame.ticks[panel.name].forEach((step, i) => {
          const v = step + (panel === near ? level : 0);
          words[`x${i}`] = v >= 0 && v < LEVELS ? String(v) : "";
        });
        for (const [part, data] of Object.entries(parts)) paths[`${panel.name}-${part}`] = data;
        for (const [place, text] of Object.entries(words)) texts[`${panel.name}-${place}`] = text;
      }
      for (const e of root.querySelectorAll("[data-part]")) e.setAttribute("d", paths[e.dataset.part]);
      for (const e of root.querySelectorAll("[data-text]")) e.textContent = texts[e.dataset.text];
      root.dataset.view = log ? "log" : "bars";
      root.querySelector(".mix-words").textContent = (log ? inLogs : inBars)(level, exact, released, gap);
      showControls(components);
    }

    function showNumber(k, own, whole, top) {
      const label = root.querySelector(`[data-label="${k + 1}"]`);
      label.textContent = own.length ? k + 1 : "";
      if (!own.length) return;
      label.setAttribute("x", whole.px(own[0].mean).toFixed(1));
      label.setAttribute("y", (y(density(own, own[0].mean) / top) - 6).toFixed(1));
    }

    function showControls(components) {
      const chosen = +find("change").value;
      [...find("change").options].forEach((option, k) => (option.disabled = k >= components.length));
      sets.forEach((set, k) => {
        set.hidden = k !== chosen - 1;
        if (k >= components.length) return;
        const { mean, scale, weight, share } = components[k];
        say("mean", `${mean}`, set);
        say("log-scale", `${find("log-scale", set).value}, or ${scale.toFixed(2)} grey levels`, set);
        say("weight", `${weight}, a share of ${share.toFixed(2)}`, set);
      });
      say("level", find("level").value, root);
    }

    function say(name, text, within) {
      find(name, within).parentElement.querySelector("span").textContent = text;
      find(name, within).setAttribute("aria-valuetext", text);
    }

    function inBars(level, exact) {
      const p = exact.map((bits) => 2 ** bits);
      return (
        `The probability of level ${level} is ${probability(p[level])}; ` +
        `it costs ${cost(exact[level])} bits. ` +
        `At the ends, level 0 with all below it gets ${probability(p[0])}, ` +
        `level 255 with all above it ${probability(p[LEVELS - 1])}. ` +
        `The 256 bars add up to ${p.reduce((sum, each) => sum + each).toFixed(6)}.`
      );
    }

    function inLogs(level, exact, released, gap) {
      const apart = gap.slice(1, -1), jumps = apart.slice(1).map((bits, i) => Math.abs(bits - apart[i]));
      const largest = Math.max(...jumps), at = jumps.findIndex((jump) => jump > largest - 1e-9) + 1;
      const jump = `; from level ${at} to level ${at + 1} the difference jumps by ${largest.toFixed(2)} bits`;
      return (
        `Level ${level} costs ${cost(exact[level])} bits by the exact form and ${cost(released[level])} by the released one. ` +
        `Over all levels they differ by at most ${Math.max(0, ...apart).toFixed(2)} bits${largest >= 0.005 ? jump : ""}.`
      );
    }

    function moveTo(level) {
      find("level").value = level; // a range input keeps its value inside its limits
      redraw();
    }

    function point(event) {
      const { left, width } = svg.getBoundingClientRect();
      const share = (((event.clientX - left) / width) * 340 - frame.left) / (frame.right - frame.left);
      moveTo(Math.round(-frame.beyond + share * (LEVELS - 1 + 2 * frame.beyond)));
    }

    root.addEventListener("input", (event) => {
      if (event.target === find("components")) find("change").value = event.target.value; // the newest is the one to change
      redraw();
    });
    svg.addEventListener("pointerdown", point);
    svg.addEventListener("pointermove", (event) => event.buttons && point(event));
    svg.addEventListener("keydown", (event) => {
      const level = +find("level").value;
      const moves = { ArrowLeft: level - 1, ArrowDown: level - 1, ArrowRight: level + 1, ArrowUp: level + 1 };
      const to = { ...moves, PageDown: level - 16, PageUp: level + 16, Home: 0, End: LEVELS - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      moveTo(to);
    });
    root.log2Probabilities = log2Probabilities; // for the curious, and for the tests
    redraw(); // a browser may have kept the controls of an earlier visit
  }

  document.querySelectorAll(".mix-playground:not([data-ready])").forEach((root) => {
    if (root.querySelector("[data-control]")) start(root);
  });
})();
