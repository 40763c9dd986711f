"""Reference losses: the published formulas in plain Python, pixel by pixel.

Each takes nested lists, logits [n][c][y][x] and targets [n][y][x], and the settings.
"""

import math
from itertools import pairwise


def softmax(scores):
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return [p / sum(powers) for p in powers]


def list_pixels(logits, targets):
    """Return (photo, y, x, probabilities of the classes, true class) of each valid pixel."""
    return [
        (n, y, x, softmax([plane[y][x] for plane in logits[n]]), label)
        for n, rows in enumerate(targets)
        for y, row in enumerate(rows)
        for x, label in enumerate(row)
        if label != 255
    ]


def average(values):
    return sum(values) / len(values) if values else 0.0


def ce(logits, targets, _):
    return average([-math.log(probs[label]) for *_, probs, label in list_pixels(logits, targets)])


def ohem(logits, targets, settings):
    pixels = list_pixels(logits, targets)
    losses = sorted((-math.log(probs[label]) for *_, probs, label in pixels), reverse=True)
    return average(losses[: max(round(settings["ohem_share"] * len(losses)), 1)])


def focal(logits, targets, settings):
    gamma = settings["focal_gamma"]
    pixels = list_pixels(logits, targets)
    return average([-((1 - p[label]) ** gamma) * math.log(p[label]) for *_, p, label in pixels])


def average_classes(logits, targets, compute):
    """Return the mean of a function of (probability, is true) pairs over the classes present."""
    pixels = list_pixels(logits, targets)
    present = sorted({label for *_, label in pixels})
    return average([compute([(p[k], label == k) for *_, p, label in pixels]) for k in present])


def dice(logits, targets, _):
    return tversky(logits, targets, {"tversky_alpha": 0.5, "tversky_beta": 0.5})


def jaccard(logits, targets, _):
    def compute(pairs):
        shared = sum(p for p, is_true in pairs if is_true)
        return 1 - shared / sum(1 if is_true else p for p, is_true in pairs)

    return average_classes(logits, targets, compute)


def tversky(logits, targets, settings):
    def compute(pairs):
        hits = sum(p for p, is_true in pairs if is_true)
        wrong = sum(p for p, is_true in pairs if not is_true)
        missed = sum(1 - p for p, is_true in pairs if is_true)
        alpha, beta = settings["tversky_alpha"], settings["tversky_beta"]
        return 1 - hits / (hits + alpha * wrong + beta * missed)

    return average_classes(logits, targets, compute)


def lovasz(logits, targets, _):
    """The definition: errors, worst first, times the growth of 1 - IoU as they are made."""

    def lose(mistakes, pairs):
        """Return 1 - IoU of the truth with these pixels turned over."""
        made = [is_true != (i in mistakes) for i, (_, is_true) in enumerate(pairs)]
        both = sum(is_true and m for (_, is_true), m in zip(pairs, made, strict=True))
        either = sum(is_true or m for (_, is_true), m in zip(pairs, made, strict=True))
        return 1 - both / either

    def compute(pairs):
        errors = [1 - p if is_true else p for p, is_true in pairs]
        order = sorted(range(len(pairs)), key=lambda i: -errors[i])
        losses = [lose(set(order[:i]), pairs) for i in range(len(order) + 1)]
        growth = [after - before for before, after in pairwise(losses)]
        return sum(errors[i] * grown for i, grown in zip(order, growth, strict=True))

    return average_classes(logits, targets, compute)


def boundary(logits, targets, _):
    """Distances by looking at every other pixel of the photo."""
    pixels = list_pixels(logits, targets)
    frame = len(targets[0]) + len(targets[0][0])
    terms = []
    for n, y, x, probs, label in pixels:
        term = 0.0
        for k, prob in enumerate(probs):
            is_true = label == k
            others = [
                abs(y - y2) + abs(x - x2)
                for n2, y2, x2, _, label2 in pixels
                if n2 == n and (label2 == k) != is_true
            ]
            distance = min(others, default=0) / frame
            term += distance * ((1 - prob) if is_true else prob)
        terms.append(term)
    return average(terms)
