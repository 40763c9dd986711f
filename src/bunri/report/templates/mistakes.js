// Draws masks and mistakes over photos, and chooses and orders photos by them.
// #masks holds runs of classes (see report/pictures.py) and, for each photo, cells of
// [truth, prediction, pixels, of these along outlines].
(function () {
  "use strict";
  const source = document.getElementById("masks");
  const gallery = document.querySelector("[data-gallery]");
  if (!source || !gallery) return;
  const { colors, kindColors, minShare, photos } = JSON.parse(source.textContent);
  const IGNORED = 255;
  const cards = [...gallery.querySelectorAll("[data-card]")];
  const place = gallery.querySelector("[data-cards]");
  const picked = gallery.querySelector("[data-picked]");
  const chosen = { layer: "errors", kind: "", class: "", cell: null };

  // -- masks
  function unpack(text, numPixels) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const mask = new Uint8Array(numPixels);
    for (let at = 0, start = 0; at < bytes.length; ) {
      const value = bytes[at++];
      let length = 0;
      let shift = 0;
      let byte;
      do {
        byte = bytes[at++];
        length += (byte & 127) * 2 ** shift;
        shift += 7;
      } while (byte & 128);
      mask.fill(value, start, (start += length));
    }
    return mask;
  }

  function kindOf(truth, prediction) {
    if (truth === prediction) return "";
    if (prediction === 0) return "missed";
    return truth === 0 ? "invented" : "confused";
  }

  // What is clear of the photo is seen; a white line goes along the edges of classes.
  function draw(canvas, number, layer) {
    const look = `${number} ${layer} ${layer === "errors" && chosen.cell}`;
    if (canvas.dataset.look === look) return;
    canvas.dataset.look = look;
    const photo = photos[number];
    const [height, width] = photo.size;
    canvas.width = width;
    canvas.height = height;
    if (layer === "photo") return;
    const truth = unpack(photo.truth, width * height);
    const prediction = unpack(photo.prediction, width * height);
    const shown = layer === "truth" ? truth : prediction;
    const picture = new ImageData(width, height);
    for (let i = 0; i < truth.length; i++) {
      let color;
      if (layer !== "errors") {
        const hasRight = (i + 1) % width !== 0 && shown[i] !== shown[i + 1];
        const hasBelow = i + width < shown.length && shown[i] !== shown[i + width];
        if (hasRight || hasBelow) color = [255, 255, 255];
        else if (shown[i] !== 0 && shown[i] !== IGNORED) color = colors[shown[i]];
      } else if (truth[i] !== IGNORED) {
        color = colorMistake(truth[i], prediction[i]);
      }
      if (color) picture.data.set([...color, 255], 4 * i);
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }

  function colorMistake(truth, prediction) {
    if (!chosen.cell) return kindColors[kindOf(truth, prediction)];
    if (chosen.cell !== `${truth} ${prediction}`) return undefined;
    return kindColors[kindOf(truth, prediction)] || [43, 138, 62];
  }

  const drawCard = (card) => draw(card.querySelector("canvas"), Number(card.dataset.card), chosen.layer);
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.toggleAttribute("data-near", isIntersecting);
        if (isIntersecting) drawCard(target);
      }
    },
    { rootMargin: "300px" },
  );
  cards.forEach((card) => seen.observe(card));
  const drawNear = () => gallery.querySelectorAll("[data-near]").forEach(drawCard);

  // -- which photos, and in which order
  function weigh(number) {
    const { cells } = photos[number];
    let total = 0;
    let wanted = 0;
    for (const [truth, prediction, pixels, near] of cells) {
      total += pixels;
      if (chosen.cell) {
        if (chosen.cell === `${truth} ${prediction}`) wanted += pixels;
        continue;
      }
      if (chosen.class !== "" && ![truth, prediction].includes(Number(chosen.class))) continue;
      if (!chosen.kind) wanted += pixels;
      else if (chosen.kind === "boundary") wanted += truth === prediction ? 0 : near;
      else if (chosen.kind === kindOf(truth, prediction)) wanted += pixels;
    }
    return total ? wanted / total : 0;
  }

  function choose() {
    const isPlain = !chosen.kind && chosen.class === "" && !chosen.cell;
    const needed = chosen.kind || chosen.cell ? minShare : Number.MIN_VALUE;
    const weights = new Map(cards.map((card) => [card, isPlain ? 1 : weigh(Number(card.dataset.card))]));
    for (const card of cards) card.hidden = weights.get(card) < needed;
    place.append(...[...cards].sort((one, other) => weights.get(other) - weights.get(one)));
    const numShown = cards.filter((card) => !card.hidden).length;
    gallery.querySelector("[data-shown]").textContent = numShown;
    gallery.querySelector("[data-none]").hidden = numShown > 0;
    drawNear();
  }

  function press(name, wanted) {
    for (const button of document.querySelectorAll(`[data-${name}]`)) {
      button.setAttribute("aria-pressed", String(button.dataset[name] === wanted));
    }
  }

  function set(name, value) {
    chosen[name] = value;
    press(name, value);
  }

  gallery.addEventListener("click", (event) => {
    for (const name of ["layer", "kind", "class"]) {
      const button = event.target.closest(`button[data-${name}]`);
      if (!button) continue;
      if (name !== "layer") pick(null);
      set(name, button.dataset[name]);
      choose();
    }
    if (event.target.closest("[data-clear]")) {
      pick(null);
      choose();
    }
  });

  // -- a cell of the table of truth and prediction
  const said = document.querySelector("[data-said]");

  function pick(button) {
    chosen.cell = button && button.dataset.cell;
    press("cell", chosen.cell);
    picked.hidden = !button;
    const words = button ? [...button.querySelector(".words").childNodes] : [];
    picked.querySelector("[data-picked-cell]").replaceChildren(...words.map((one) => one.cloneNode(true)));
  }

  function say(event) {
    const button = event.target.closest("button[data-cell]");
    if (!button) return;
    const words = [...button.querySelector(".words").childNodes];
    said.replaceChildren(...words.map((one) => one.cloneNode(true)));
  }
  document.addEventListener("pointerover", say);
  document.addEventListener("focusin", say);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cell]");
    if (!button) return;
    set("kind", "");
    set("class", "");
    set("layer", "errors");
    pick(button);
    choose();
    gallery.querySelector(".tools").scrollIntoView();
  });

  // -- the large view shows all four
  const four = document.querySelector("[data-four]");
  document.addEventListener("bunri:enlarged", (event) => {
    const card = event.target;
    const [height, width] = photos[card.dataset.card].size;
    for (const picture of four.querySelectorAll(".picture")) {
      const canvas = picture.querySelector("canvas");
      picture.style.aspectRatio = `${width} / ${height}`;
      picture.querySelector("img").src = card.querySelector("img").src;
      draw(canvas, Number(card.dataset.card), canvas.dataset.showLayer);
    }
  });
})();
