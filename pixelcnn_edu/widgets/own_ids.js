// Labels find their controls by id, so every further copy of an explorer in a page gets ids of its own.
function pixelcnnEduOwnIds(root) {
  const copy = (window.pixelcnnEduCopies = (window.pixelcnnEduCopies ?? 0) + 1);
  for (const label of copy > 1 ? root.querySelectorAll("label[for]") : []) {
    const target = root.querySelector(`[id="${label.htmlFor}"]`);
    label.htmlFor = target.id = `${target.id}-${copy}`;
  }
}
