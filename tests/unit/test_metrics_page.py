"""docs/metrics.md names all metrics, and no others."""

from __future__ import annotations

import re

from helpers.families import PAGE, families, written

from fanwire.metrics.process import process_metrics


def test_the_table_is_that_of_the_code() -> None:
    # After a change: python tests/helpers/families.py --write
    page = PAGE.read_text()
    assert written(page) == page


def test_the_names_follow_prometheus() -> None:
    for name, family in families().items():
        assert re.fullmatch(r"fanwire_[a-z_]+", name)
        assert family.documentation.endswith(".")
        assert name.endswith("_total") == (family.type == "counter"), name
        assert name.endswith("_seconds") or family.type != "histogram", name


def test_the_prose_names_what_there_is() -> None:
    of_process = {sample.name for family in process_metrics().collect() for sample in family.samples}
    known = set(families()) | of_process | {"python_gc_"}
    prose = re.sub(r"<!-- metrics -->.*?<!-- end -->", "", PAGE.read_text(), flags=re.DOTALL)
    named = set(re.findall(r"\b(?:fanwire|process|python)_\w+", prose)) - {"fanwire_histograms"}
    assert len(named) > 15
    assert named <= known
