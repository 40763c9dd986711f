// Rows of buttons that show one panel of several: [data-panels] holds both.
(function () {
  "use strict";
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-show]");
    if (!button) return;
    const group = button.closest("[data-panels]");
    for (const other of group.querySelectorAll("[data-show]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    for (const panel of group.querySelectorAll("[data-panel]")) {
      panel.hidden = panel.dataset.panel !== button.dataset.show;
      if (!panel.hidden) panel.dispatchEvent(new Event("bunri:shown", { bubbles: true }));
    }
  });
})();
