// A reader of paper cannot click, and paper is white: for printing everything is unfolded and the theme is light.
(() => {
  const theme = document.documentElement.dataset;
  let folded = [];
  let before;

  addEventListener("beforeprint", () => {
    before = theme.theme;
    theme.theme = "light";
    folded = [...document.querySelectorAll("article details:not([open])")];
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    theme.theme = before;
    for (const details of folded) details.open = false;
  });
})();
