startAll("bh-map", (root, data, control) => {
  const { record, rows, columns, average, maps } = data;
  const toggles = [...root.querySelectorAll(".bh-toggles button")];
  const [image, heat] = root.querySelectorAll(".pred-picture");

  function show(row, column) {
    const place = row * columns + column;
    const [r, g, b] = record.cents.slice(3 * place, 3 * place + 3);
    showFrame(root, row, column);
    showHistograms(root, record, place);
    root.querySelector(".pred-words").textContent =
      `Row ${row}, column ${column}: ${bits(r)} bits for r, ${bits(g)} for g given r, ${bits(b)} for b given both, ` +
      `${bits(r + g + b)} together. The average pixel of this image costs ${average}.`;
  }

  function redraw() {
    label(control.row);
    label(control.column);
    show(+control.row.value, +control.column.value);
  }

  function choose(row, column) {
    control.row.value = row; // a range input keeps its value inside its limits
    control.column.value = column;
    redraw();
  }

  toggles.forEach((toggle, shown) => toggle.addEventListener("click", () => {
    toggles.forEach((other) => other.setAttribute("aria-pressed", other === toggle));
    [heat.querySelector("img").src, root.querySelector('[data-part="top"]').textContent] = maps[shown];
  }));
  for (const picture of [image, heat]) {
    picture.addEventListener("click", (event) => choose(...pixelUnder(event, rows, columns)));
    picture.addEventListener("pointermove", (event) => show(...pixelUnder(event, rows, columns))); // only a look
    picture.addEventListener("pointerleave", redraw); // back to what was chosen
    onArrows(picture, (down, right) => choose(+control.row.value + down, +control.column.value + right));
  }
  root.addEventListener("input", redraw);
  redraw(); // a browser may have kept the controls of an earlier visit
});
