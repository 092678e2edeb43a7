"""The files of ops/: alert rules and their tests, and the dashboard."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from helpers.families import families
from helpers.prometheus import ALERTS, ALERTS_TEST, DASHBOARD, alerts, groupings, panels, promtool, selectors


def test_promtool_accepts_the_alerts() -> None:
    promtool("check", "rules", ALERTS)


def test_each_alert_fires_when_it_should() -> None:
    promtool("test", "rules", ALERTS_TEST)


def test_each_alert_is_tested() -> None:
    text = ALERTS_TEST.read_text()
    names = [name for name, _ in alerts()]
    assert len(names) == len(set(names)) > 15
    for name in names:
        assert re.search(rf"\b{name}\b", text), name


def test_each_alert_says_who_has_to_act_and_why() -> None:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "warn")
            assert set(rule["annotations"]) == {"summary", "description"}


@pytest.mark.parametrize(("title", "query"), [*alerts(), *panels()])
def test_each_query_names_metrics_that_there_are(title: str, query: str) -> None:
    known = set(families()) | {sample.name for family in families().values() for sample in family.samples}
    for name, _ in selectors(query):
        assert name in known or not name.startswith("fanwire_"), f"{title}: {name}"


def test_panels_have_places_of_their_own() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    assert len(set(ids)) == len(ids)
    assert {panel["type"] for panel in dashboard["panels"]} == {"row", "timeseries"}


def test_labels_of_a_query_are_found() -> None:
    query = 'sum by (a, b) (rate(fanwire_x_total{c=~"d", e="f"}[5m])) / on (g) fanwire_y'
    assert list(selectors(query)) == [("fanwire_x_total", {"c", "e"}), ("fanwire_y", set())]
    assert groupings(query) == {"a", "b", "g"}
