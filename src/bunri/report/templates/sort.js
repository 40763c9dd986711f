// Tables whose heads sort them: numbers by the data-value of their cells, from the greatest at
// first; names by the order they were given in. What has no value stays last.
(function () {
  "use strict";
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-sortable] th[data-sort] button");
    if (!button) return;
    const head = button.closest("th");
    const column = head.cellIndex;
    const body = head.closest("table").tBodies[0];
    const first = head.dataset.sort === "number" ? "descending" : "ascending";
    const second = first === "descending" ? "ascending" : "descending";
    const wanted = head.getAttribute("aria-sort") === first ? second : first;
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", wanted);
    const sign = wanted === "ascending" ? 1 : -1;
    const read = (row) => row.cells[column].dataset.value;
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [read(one), read(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (Number(a) - Number(b));
    });
    body.append(...rows);
  });
})();
