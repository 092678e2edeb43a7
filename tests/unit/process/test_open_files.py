"""The limit of open files: how many connections fit below it, and what is said about it."""

from __future__ import annotations

import pytest
from helpers.script import Script

from fanwire.config import Config
from fanwire.process.open_files import NO_LIMIT, FileLimits, fitting, is_missed, needed_files, too_few

CONFIG = Config(shards=2)


@pytest.mark.parametrize(
    ("files", "config", "has_tls", "most"),
    [
        (NO_LIMIT, CONFIG, False, 100_000),
        (NO_LIMIT, Config(max_connections=0), False, 0),
        (102_000, CONFIG, False, 100_000),
        (104_000, CONFIG, True, 100_000),
        (20_000, CONFIG, False, 20_000 - 20 - 24 - 640),
        (20_000, Config(shards=2, max_connections=0), False, 20_000 - 20 - 24 - 640),
        (20_000, Config(shards=2, max_connections=7), False, 7),
        (20_000, CONFIG, True, 20_000 - 20 - 24 - 640 - 2000),
        (1024, CONFIG, False, 1024 - 20 - 24 - 128),
        # A third of what is left is for pairs of sockets.
        (1024, CONFIG, True, 852 - 284),
        (120, CONFIG, False, 120 - 20 - 24 - 15),
        (20, CONFIG, True, 1),
    ],
)
def test_connections_that_fit(files: int, config: Config, has_tls: bool, most: int) -> None:
    assert fitting(config, files, 20, has_tls=has_tls) == most


def test_what_is_recommended_fits_whatever_the_number_of_threads() -> None:
    for has_tls in (False, True):
        config = Config(shards=64)
        assert fitting(config, needed_files(config, has_tls=has_tls), 200, has_tls=has_tls) == config.max_connections


def test_a_warning_has_the_numbers_and_what_to_do() -> None:
    limits = FileLimits(soft=1024, hard=2048)
    assert too_few(CONFIG, limits, 100_000, has_tls=False) is None
    assert too_few(Config(max_connections=0), limits, 900, has_tls=False) is None
    assert too_few(CONFIG, limits, 900, has_tls=False) == (
        "open files: soft 1024, hard 2048; limits.max_connections needs 102000: this process serves at most 900 "
        "connections, and refuses more with 503. Raise the hard limit to 102000 (systemd: LimitNOFILE=102000; docker: "
        "--ulimit nofile=102000), or lower limits.max_connections."
    )
    text = too_few(CONFIG, FileLimits(soft=1024, hard=NO_LIMIT), 900, has_tls=True)
    assert text is not None
    assert "soft 1024, hard unlimited; limits.max_connections needs 104000" in text


def test_only_a_limit_that_somebody_may_miss_is_told() -> None:
    assert not is_missed(CONFIG, 19_000)
    assert is_missed(CONFIG, 9_999)
    assert is_missed(Config(max_connections=50_000), 19_000)


@pytest.mark.parametrize(
    ("max_connections", "soft", "raised", "warnings"),
    [(30, 2500, 2500, 0), (30, 1000, 3000, 0), (100_000, 1000, 3000, 1), (100_000, 3000, 3000, 1), (0, 2500, 3000, 0)],
)
def test_the_soft_limit_is_raised_where_it_is_too_low(
    max_connections: int, soft: int, raised: int, warnings: int
) -> None:
    code = f"""
        import resource
        from fanwire.config import Config
        from fanwire.process.open_files import allowed_connections

        resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, 3000))
        said = []
        config = Config(shards=1, max_connections={max_connections})
        allowed = allowed_connections(config, lambda *line: said.append(line), has_tls=False)
        print(allowed, resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(said))
    """
    with Script(code) as script:
        allowed, found, said = map(int, script.line().split())
        assert script.end()[0] == 0
    assert (found, said) == (raised, warnings)
    assert allowed == 30 if max_connections == 30 else 2000 < allowed < 3000
