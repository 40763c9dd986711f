// Which language the page shows: the reader's last choice, else the browser's, else the first.
// Runs in the head, before anything is drawn. Other scripts hear "bunri:language" on a change.
(function () {
  "use strict";
  const root = document.documentElement;
  const known = (root.dataset.languages || "").split(" ").filter(Boolean);
  if (!known.length) return;
  const kept = "bunri-language";

  function recall() {
    try {
      return localStorage.getItem(kept);
    } catch (error) {
      return null; // a browser may deny storage to files
    }
  }

  function choose(language) {
    root.lang = language;
    for (const button of document.querySelectorAll("[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
    document.dispatchEvent(new Event("bunri:language"));
  }

  const wishes = [recall(), ...(navigator.languages || [navigator.language])];
  const found = wishes.map((wish) => known.find((one) => wish && wish.startsWith(one)));
  choose(found.find(Boolean) || known[0]);
  document.addEventListener("DOMContentLoaded", () => choose(root.lang));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-language]");
    if (!button) return;
    try {
      localStorage.setItem(kept, button.dataset.language);
    } catch (error) {
      // not kept, then
    }
    choose(button.dataset.language);
  });
})();
