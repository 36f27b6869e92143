startAll("st-theatre", (root, data, control) => {
  const { records, naive, cached, rows, columns } = data;
  const count = rows * columns, words = root.querySelector(".pred-words");
  const stage = root.querySelector(".pred-columns"), picture = root.querySelector(".pred-picture");
  let timer = null;

  function redraw() {
    const place = control.pixel.value - 1, forcing = control.forcing.checked;
    const record = records.at(forcing ? -1 : 0), three = 3 * place;
    const row = Math.floor(place / columns), column = place % columns;
    const [r, g, b] = record.values.slice(three, three + 3), [x, y, z] = record.cents.slice(three, three + 3);
    label(control.pixel);
    showFrame(root, row, column);
    showHistograms(root, record, place);
    stage.dataset.forcing = forcing;
    for (const [way, positions] of [["naive", naive[place]], ["cached", cached[place]]]) {
      const line = root.querySelector(`[data-way="${way}"]`);
      line.querySelector("b").textContent = positions.toLocaleString("en-US");
      line.querySelector("i").style.setProperty("--part", positions);
    }
    words.textContent =
      `Pixel ${place + 1} of ${count}, row ${row}, column ${column}. ` +
      `Drawn: r ${r}, g ${g}, b ${b}, together ${bits(x + y + z)} bits. ` + (!forcing
        ? `Pixels that the network had seen: the ${place} before it. Those after it did not exist yet.`
        : "The whole image is there, and one pass gives the distributions of all its pixels at once. " + (records.length === 1
          ? `Here they are the same as when the pixel was drawn: only the ${place} pixels before it count.`
          : "They are not those that the pixels were drawn from: this network is not causal."));
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    control.play.textContent = "Play";
    words.setAttribute("aria-live", "polite");
  }

  function play() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches; // then a row at a time, once a second
    if (+control.pixel.value === count) control.pixel.value = 1;
    control.play.textContent = "Pause";
    words.setAttribute("aria-live", "off"); // nobody can listen to eight sentences a second
    timer = setInterval(() => {
      control.pixel.value = +control.pixel.value + (calm ? columns : 1); // a range input keeps its value inside its limits
      redraw();
      if (+control.pixel.value === count) pause();
    }, calm ? 1000 : 120);
    redraw();
  }

  function go(place) {
    pause();
    control.pixel.value = clamp(place, 0, count - 1) + 1;
    redraw();
  }

  control.play.addEventListener("click", () => (timer ? pause() : play()));
  control.pixel.addEventListener("input", () => go(control.pixel.value - 1));
  control.forcing.addEventListener("change", redraw);
  picture.addEventListener("click", (event) => {
    const [row, column] = pixelUnder(event, rows, columns);
    go(row * columns + column);
  });
  onArrows(picture, (down, right) => {
    const place = control.pixel.value - 1 + down * columns + right;
    if (!down || (place >= 0 && place < count)) go(place); // up and down stay in their column
  });
  redraw(); // a browser may have kept the controls of an earlier visit
});
