"""How fast counts grow."""

from __future__ import annotations

from fanwire.demo.window import Window


def test_a_window_tells_the_growth_since_its_oldest_sample() -> None:
    window = Window(2)
    assert window.rates(10.0, {"a": 100.0}) == {"a": 0.0}
    assert window.rates(11.0, {"a": 104.0}) == {"a": 4.0}
    assert window.rates(12.0, {"a": 104.0}) == {"a": 2.0}
    assert window.rates(13.0, {"a": 110.0, "b": 7.0}) == {"a": 3.0, "b": 0.0}
    # An interface that went and came back begins at 0 again.
    assert window.rates(14.0, {"a": 0.0, "b": 9.0}) == {"a": 0.0, "b": 0.0}
