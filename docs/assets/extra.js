// what scrolls sideways is reached with the keyboard; the theme wraps tables after it has loaded
window.addEventListener("load", () =>
  document.querySelectorAll("pre > code, .md-typeset__scrollwrap, .output").forEach((box) => { box.tabIndex = 0; }));
