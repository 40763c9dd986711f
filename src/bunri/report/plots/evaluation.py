"""Plots of an evaluation: training curves, and accuracy against confidence."""

from collections.abc import Callable, Sequence

from bunri.report.page import show_share
from bunri.report.plots.lines import Line, plot_lines, plot_reliability
from bunri.report.plots.plots import Plot
from bunri.report.records import Epoch
from bunri.report.texts import LANGUAGES, Texts
from bunri.scores.calibration import Calibration
from bunri.scores.confusion import divide


def build_evaluation_plots(
    history: Sequence[Epoch], calibration: Calibration, t: Texts
) -> dict[str, dict[str, Plot]]:
    """Return every plot of the page: key in the template -> language -> plot."""
    found: dict[str, dict[str, Plot]] = {}
    for language in LANGUAGES:
        plots = {"calibration": _plot_calibration(calibration, t, language)}
        if history:
            plots |= _plot_history(history, t, language)
        for key, plot in plots.items():
            found.setdefault(key, {})[language] = plot
    return found


def _plot_history(history: Sequence[Epoch], t: Texts, language: str) -> dict[str, Plot]:
    def draw(names: dict[str, Callable[[Epoch], float | None]], y_title: str) -> Plot:
        lines = [
            draw_epochs(t(key).to(language), history, choose, t, language)
            for key, choose in names.items()
        ]
        return plot_lines(
            [line for line in lines if line.x], t("epoch").to(language), t(y_title).to(language)
        )

    return {
        "scores": draw(
            {
                "global_miou": lambda epoch: epoch.global_miou,
                "per_image_miou": lambda epoch: epoch.per_image_miou,
            },
            "score",
        ),
        "losses": draw(
            {
                "train_loss": lambda epoch: epoch.train_loss,
                "val_loss": lambda epoch: epoch.val_loss,
            },
            "loss",
        ),
    }


def draw_epochs(
    name: str,
    history: Sequence[Epoch],
    choose: Callable[[Epoch], float | None],
    t: Texts,
    language: str,
) -> Line:
    """Return one figure of each epoch that has it."""
    points = [(epoch.number, value) for epoch in history if (value := choose(epoch)) is not None]
    hovers = [
        (name, t("hover_epoch", number=number).to(language), f"{value:.4f}")
        for number, value in points
    ]
    return Line(name, [number for number, _ in points], [value for _, value in points], hovers)


def _plot_calibration(calibration: Calibration, t: Texts, language: str) -> Plot:
    total = max(1, int(calibration.pixels.sum()))
    accuracy = divide(calibration.right, calibration.pixels).tolist()
    confidence = divide(calibration.confidence, calibration.pixels).tolist()
    rows = calibration.to_json()["bins"]
    kept = [i for i, row in enumerate(rows) if row["pixels"]]
    hovers = [
        (
            t("hover_bin", low=f"{rows[i]['from']:.2f}", high=f"{rows[i]['to']:.2f}").to(language),
            t(
                "hover_bin_right",
                right=show_share(accuracy[i]),
                pixels=show_share(rows[i]["pixels"] / total),
            ).to(language),
        )
        for i in kept
    ]
    line = Line("", [confidence[i] for i in kept], [accuracy[i] for i in kept], hovers)
    return plot_reliability(
        line,
        [rows[i]["pixels"] / total for i in kept],
        t("axis_confidence").to(language),
        t("axis_accuracy").to(language),
    )
