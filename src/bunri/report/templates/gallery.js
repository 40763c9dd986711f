// The gallery: a filter by class, one slider for all overlays, and a large view with arrow keys.
// Other scripts may hide cards and change their order; they hear "bunri:enlarged" on a card.
(function () {
  "use strict";
  const gallery = document.querySelector("[data-gallery]");
  if (!gallery) return;
  const dialog = document.querySelector("dialog");
  const stage = dialog.querySelector("[data-stage]");
  let current = null;

  const listCards = () => [...gallery.querySelectorAll("[data-card]")];
  const listShown = () => listCards().filter((card) => !card.hidden);

  // -- filter
  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("[data-filter]");
    if (!button) return;
    for (const other of gallery.querySelectorAll("[data-filter]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    const wanted = button.dataset.filter;
    for (const card of listCards()) {
      card.hidden = wanted !== "" && !card.dataset.classes.split(" ").includes(wanted);
    }
    gallery.querySelector("[data-shown]").textContent = listShown().length;
  });

  // -- overlay
  const sliders = [...document.querySelectorAll("[data-overlay]")];
  document.addEventListener("input", (event) => {
    if (!sliders.includes(event.target)) return;
    sliders.forEach((slider) => (slider.value = event.target.value));
    document.documentElement.style.setProperty("--overlay", event.target.value / 100);
  });

  // -- large view
  function enlarge(card) {
    current = card;
    stage.replaceChildren(
      card.querySelector("[data-picture]").cloneNode(true),
      card.querySelector("figcaption").cloneNode(true),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    card.dispatchEvent(new Event("bunri:enlarged", { bubbles: true }));
  }

  function step(by) {
    const shown = listShown();
    enlarge(shown[(shown.indexOf(current) + by + shown.length) % shown.length]);
  }

  gallery.addEventListener("click", (event) => {
    const button = event.target.closest("[data-enlarge]");
    if (button) enlarge(button.closest("[data-card]"));
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("[data-step]");
    if (button) step(Number(button.dataset.step));
    else if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.target.matches("input")) return; // the slider has its own use for arrows
    if (event.key === "ArrowRight") step(1);
    if (event.key === "ArrowLeft") step(-1);
  });
  dialog.addEventListener("close", () => current.querySelector("[data-enlarge]").focus());
})();
