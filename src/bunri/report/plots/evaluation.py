"""Plots of an evaluation: training curves, and accuracy against confidence."""

from collections.abc import Sequence

from bunri.report.page import show_share
from bunri.report.plots.lines import Line, plot_lines, plot_reliability
from bunri.report.plots.plots import Plot
from bunri.report.records import Epoch
from bunri.report.texts import Built, OneLanguage, Texts, collect_languages
from bunri.scores.calibration import Calibration
from bunri.scores.confusion import divide


def build_evaluation_plots(
    history: Sequence[Epoch], calibration: Calibration, t: Texts
) -> Built[Plot]:
    """Return every plot of the page: key in the template -> language -> plot."""

    def build(voice: OneLanguage) -> dict[str, Plot]:
        plots = {"calibration": _plot_calibration(calibration, voice)}
        if history:
            plots["scores"] = _plot_history(
                history, ("global_miou", "per_image_miou"), "score", voice
            )
            plots["losses"] = _plot_history(history, ("train_loss", "val_loss"), "loss", voice)
        return plots

    return collect_languages(t, build)


def _plot_history(
    history: Sequence[Epoch], keys: Sequence[str], y_title: str, t: OneLanguage
) -> Plot:
    return plot_epochs([(t(key), history, key) for key in keys], t(y_title), t)


def plot_epochs(
    figures: Sequence[tuple[str, Sequence[Epoch], str]], y_title: str, t: OneLanguage
) -> Plot:
    """Return lines of figures of epochs, each with its name, the epochs and the figure's key."""
    lines = []
    for name, history, key in figures:
        values = [(epoch.number, getattr(epoch, key)) for epoch in history]
        points = [(number, value) for number, value in values if value is not None]
        hovers = [(name, t("hover_epoch", number=n), f"{value:.4f}") for n, value in points]
        if points:
            lines.append(Line(name, [n for n, _ in points], [value for _, value in points], hovers))
    return plot_lines(lines, t("epoch"), y_title)


def _plot_calibration(calibration: Calibration, t: OneLanguage) -> Plot:
    total = max(1, int(calibration.pixels.sum()))
    accuracy = divide(calibration.right, calibration.pixels).tolist()
    confidence = divide(calibration.confidence, calibration.pixels).tolist()
    rows = calibration.to_json()["bins"]
    kept = [i for i, row in enumerate(rows) if row["pixels"]]
    hovers = [
        (
            t("hover_bin", low=f"{rows[i]['from']:.2f}", high=f"{rows[i]['to']:.2f}"),
            t(
                "hover_bin_right",
                right=show_share(accuracy[i]),
                pixels=show_share(rows[i]["pixels"] / total),
            ),
        )
        for i in kept
    ]
    line = Line("", [confidence[i] for i in kept], [accuracy[i] for i in kept], hovers)
    return plot_reliability(
        line, [rows[i]["pixels"] / total for i in kept], t("axis_confidence"), t("axis_accuracy")
    )
