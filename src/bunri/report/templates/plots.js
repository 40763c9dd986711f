// Draws the plots of a page as they come into view, in the page's language and colours.
// Knows nothing of what they show: #plots holds plotly figures by key and language.
(function () {
  "use strict";
  const source = document.getElementById("plots");
  if (!source || !window.Plotly) return;
  const plots = JSON.parse(source.textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const places = [...document.querySelectorAll("[data-plot]")];

  function describeLook() {
    return document.documentElement.lang + (dark.matches ? " dark" : " light");
  }

  // Puts the values of CSS variables in place of "var(--name)", however deep.
  function resolve(value, styles) {
    if (typeof value === "string") {
      const name = value.startsWith("var(--") && value.slice(4, -1);
      if (name === "--font") return styles.fontFamily;
      return name ? styles.getPropertyValue(name).trim() : value;
    }
    if (Array.isArray(value)) return value.map((one) => resolve(one, styles));
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, one]) => [key, resolve(one, styles)]),
      );
    }
    return value;
  }

  function draw(place) {
    const look = describeLook();
    if (place.dataset.look === look || !place.offsetWidth) return;
    place.dataset.look = look;
    const versions = plots[place.dataset.plot];
    const plot = versions[document.documentElement.lang] || versions.any;
    const { data, layout } = resolve(plot, getComputedStyle(document.body));
    const options = { responsive: true, displayModeBar: false, doubleClick: false };
    window.Plotly.react(place, data, layout, options);
  }

  // What is near is drawn at once, the rest when it comes near.
  const MARGIN_PX = 400;
  for (const place of places) {
    const box = place.getBoundingClientRect();
    if (box.top < window.innerHeight + MARGIN_PX && box.bottom > -MARGIN_PX) draw(place);
  }
  const seen = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && draw(entry.target)),
    { rootMargin: `${MARGIN_PX}px` },
  );
  places.forEach((place) => seen.observe(place));

  function drawAgain() {
    // What is in a hidden panel has no width; it is drawn when its panel is shown.
    places.filter((place) => place.dataset.look).forEach(draw);
  }
  document.addEventListener("bunri:language", drawAgain);
  document.addEventListener("bunri:shown", (event) => {
    event.target.querySelectorAll("[data-plot]").forEach((place) => {
      draw(place);
      window.Plotly.Plots.resize(place);
    });
  });
  dark.addEventListener("change", drawAgain);
})();
