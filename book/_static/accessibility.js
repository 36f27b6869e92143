// What a screen reader and the tab key need beyond the theme; tests/test_accessibility.py asks for it.
addEventListener("DOMContentLoaded", () => {
  // Roles that are missing, or stand under a name no longer in use.
  const roles = { ".sidebar-primary-items__start": "banner", ".bd-search": "search", ".citation": "listitem" };
  for (const [selector, role] of Object.entries(roles))
    for (const element of document.querySelectorAll(selector)) element.setAttribute("role", role);

  // What scrolls sideways is a stop of the tab key. The theme forgets tables, and code that is unfolded later.
  const watch = new ResizeObserver((changes) => {
    for (const { target } of changes) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  });
  for (const element of document.querySelectorAll("article pre, .pst-scrollable-table-container")) watch.observe(element);
});
