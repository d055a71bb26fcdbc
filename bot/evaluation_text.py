"""The figures of an evaluation as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

_CONFUSIONS = 15


def report_lines(figures: dict[str, Any]) -> Iterator[str]:
    """A table of scenarios, the overall figures, confusions with sentences, calibration and speed."""
    model = f"model {figures['model']}" if figures["model"] is not None else "cross-validation"
    yield f"{model} on {figures['source']}: {figures['messages']} messages"
    if not figures["messages"]:
        return
    yield ""
    yield f"{'scenario':<20}{'n':>5}  {'precision':<19}{'recall':<19}{'F1':<19}"
    for line in figures["scenarios"]:
        shares = "".join(_share(line[name], line[f"{name}_interval"]) for name in ("precision", "recall", "f1"))
        yield f"{line['id']:<20}{line['count']:>5}  {shares}".rstrip()
    yield ""
    for title, name in (("micro F1", "micro_f1"), ("macro F1", "macro_f1"), ("exact label set", "exact")):
        yield f"{title:<20}{'':>5}  {_share(figures[name], figures[f'{name}_interval'])}".rstrip()
    yield ""
    yield f"all {figures['messages']} messages, {figures['none']} of them with none, as if written in"
    for chat, own in figures["by_chat"].items():
        low, high = own["false_triggers_interval"]
        yield (
            f"  {chat:<8} micro F1 {own['micro_f1']:.3f}  macro F1 {own['macro_f1']:.3f}  exact {own['exact']:.3f}  "
            f"false triggers per 1,000 none-messages {own['false_triggers_per_1000']:.1f} [{low:.1f}, {high:.1f}]"
        )
    yield from _confusion_lines(figures["confusions"])
    yield from _calibration_lines(figures["calibration"])
    if figures["speed"]:
        yield ""
        yield _speed(figures["speed"])


def general_lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures of the engine on a set with one label a sentence."""
    train, test = figures["train"], figures["test"]
    low, high = test["accuracy_interval"]
    yield f"learnt from {train['sentences']} sentences with {train['labels']} labels in {figures['training_s']:.1f} s"
    yield f"judged on {test['sentences']} sentences"
    yield f"accuracy  {test['accuracy']:.4f} [{low:.4f}, {high:.4f}]"
    yield f"macro F1  {test['macro_f1']:.4f}"
    yield _speed(figures["speed"])


def _share(value: float, interval: Sequence[float]) -> str:
    return f"{value:.3f} [{interval[0]:.2f}, {interval[1]:.2f}]  "


def _confusion_lines(confusions: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not confusions:
        return
    yield ""
    yield "taken for something else (truth → told), the frequent ones first"
    for one in confusions[:_CONFUSIONS]:
        yield f"{one['count']:>5}  {one['truth']} → {one['told']}"
        yield from (f"       {' '.join(sentence.split())}" for sentence in one["sentences"])
    if (more := len(confusions) - _CONFUSIONS) > 0:
        yield f"       and {more} more pairs; --json has them all"


def _calibration_lines(calibration: dict[str, Any]) -> Iterator[str]:
    yield ""
    every, best = calibration["every"], calibration["best"]
    yield f"expected calibration error {every['error']:.3f} over all scores, {best['error']:.3f} over the best of each"
    yield f"{'best score':<14}{'messages':>9}{'mean score':>12}{'share true':>12}"
    for one in best["bins"]:
        bounds = f"{one['low']:.1f} – {one['high']:.1f}"
        yield f"{bounds:<14}{one['count']:>9}{one['mean_score']:>12.3f}{one['share_true']:>12.3f}"


def _speed(speed: dict[str, float]) -> str:
    return (
        f"single message p50 {speed['single_p50_ms']:.2f} ms, p99 {speed['single_p99_ms']:.2f} ms; "
        f"batches {speed['batch_per_s']:,.0f} messages/s"
    )
