"""Merged metrics contain every sample of every process, labelled with the process."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics_merge import merge_metrics

Samples = set[tuple[str, str, frozenset[tuple[str, str]], float]]
VALUES = st.floats(0, 1e9)
LABELLED = st.dictionaries(st.text(max_size=8), VALUES, max_size=3)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Metrics of every kind, with arbitrary labels, some without a sample."""
    registry = CollectorRegistry()
    gauge = Gauge("waiting", 'Waiting \\ "now"\nin reports.', ["election"], registry=registry)
    for label, value in draw(LABELLED).items():
        gauge.labels(label).set(value)
    if draw(st.booleans()):
        counter = Counter("batches", "Commits.", ["outcome", "of"], registry=registry)
        for label, value in draw(LABELLED).items():
            counter.labels(label, "x").inc(value)
    if draw(st.booleans()):
        histogram = Histogram("commit_s", "Time.", registry=registry, buckets=(0.1, 1.0))
        for value in draw(st.lists(VALUES, max_size=3)):
            histogram.observe(value)
    return generate_latest(registry).decode()


def samples(text: str, **labels: str) -> Samples:
    return {
        (family.name, sample.name, frozenset((sample.labels | labels).items()), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@given(st.dictionaries(st.sampled_from(["push-0", "feed-0", "feed-1"]), texts()))
def test_a_merge_has_every_sample_of_every_process_under_its_name(found: Mapping[str, str]) -> None:
    """Unchanged except for the label."""
    expected: Samples = set().union(*(samples(text, process=name) for name, text in found.items()))
    assert samples(merge_metrics(found.items())) == expected


@given(st.lists(texts(), max_size=3))
def test_a_merge_has_each_family_once(found: list[str]) -> None:
    """Prometheus rejects a family with samples in two places, or described twice."""
    merged = merge_metrics((f"push-{number}", text) for number, text in enumerate(found))
    families = [family.name for family in text_string_to_metric_families(merged)]
    heads = [line for line in merged.split("\n") if line.startswith("#")]
    assert len(families) == len(set(families))
    assert len(heads) == len(set(heads))


def test_samples_that_say_whose_they_are_stay_as_they_are() -> None:
    """The supervisor's own words are about its workers."""
    own = '# HELP up Whether.\n# TYPE up gauge\nup{process="push-0"} 1\nrestarts_total 3\n'
    assert merge_metrics([(None, own)]) == own


def test_invalid_lines_are_dropped() -> None:
    """Invalid output of one process does not affect the metrics of the others."""
    found = [("a", "ready { 1\n\n# a comment\n<html>\nup{} 1\nup 2 1700000000"), ("b", "# EOF\nup 1")]
    assert merge_metrics(found[1:]) == 'up{process="b"} 1\n'
    assert 'up{process="a"} 1\nup{process="a"} 2 1700000000\nup{process="b"} 1\n' in merge_metrics(found)
