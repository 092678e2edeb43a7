"""The garbage collector is tuned, and can be put back."""

from __future__ import annotations

import gc
import warnings

from fanwire.process.gc_tuning import THRESHOLDS, calm


def test_full_collections_become_rare() -> None:
    before = gc.get_threshold()
    # What the tests have frozen themselves; afterwards it is frozen again.
    gc.unfreeze()
    try:
        with warnings.catch_warnings():
            # It collects what any test before has left behind.
            warnings.simplefilter("ignore")
            calm()
        assert gc.get_threshold() == THRESHOLDS
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*before)
