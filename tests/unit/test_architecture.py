"""The layers of the house: imports point down between folders, no modules need each other, and the docs show it."""

from __future__ import annotations

import pytest
from helpers import house
from helpers.house import Language, circles_of, group_of, ordered, resolve, rust_paths

LANGUAGES = house.languages()


@pytest.fixture(params=LANGUAGES, ids=[language.name for language in LANGUAGES])
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    return found


def test_every_file_has_a_layer(language: Language) -> None:
    assert [name for name in language.imports if language.layer(name) is None] == []
    used = {language.layer(name) for name in language.imports}
    assert [name for name in language.layers if name not in used] == []


def test_imports_point_down(language: Language) -> None:
    # Equal, so that the list of what is wrong loses what is mended.
    assert language.upward() == language.wrong


def test_no_modules_need_each_other(language: Language) -> None:
    assert language.circles() == []


def test_the_docs_show_the_layers() -> None:
    """After a change: python tests/helpers/house.py --write."""
    text = house.DOCS.read_text()
    assert house.drawn(text) == text


def test_an_import_that_points_up_is_found() -> None:
    imports = {"a": {"low.x"}, "low.x": {"low.y"}, "low.y": {"high.z"}, "high.z": set[str]()}
    language = Language("", ("low/", "high/", "a"), imports, {}, frozenset())
    assert language.upward() == {("low.y", "high.z")}
    assert language.files("low/") == ["x", "y"]


def test_modules_that_need_each_other_are_found() -> None:
    imports = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": {"f"}, "f": {"e"}}
    assert circles_of(imports) == [["b", "c"], ["e", "f"]]
    assert circles_of({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_names_come_before_what_they_import() -> None:
    assert ordered({"a": {"c"}, "b": set(), "c": {"b"}, "d": {"b"}}) == ["a", "c", "d", "b"]


def test_paths_of_rust_are_found() -> None:
    text = """
use crate::wire::{Frame, mask::{self, apply}};
use super::conn::Conn; // crate::not
let a = crate::a::B::c();
"""
    found = {"::".join(path) for path in rust_paths(text, "shard.reading")}
    assert found == {"wire::Frame", "wire::mask::self", "wire::mask::apply", "shard::conn::Conn", "a::B::c"}
    assert group_of("a, b::{c, d}} e", 0) == [("a",), ("b", "c"), ("b", "d")]


def test_a_name_that_a_folder_hands_on_leads_to_its_file() -> None:
    modules = ["wire", "wire.frame", "wire.mask"]
    exports = {"wire": {"Frame": ("frame", "Frame")}, "wire.frame": {}, "wire.mask": {}}
    assert resolve(("wire", "Frame", "new"), modules, exports) == "wire.frame"
    assert resolve(("wire", "mask", "apply"), modules, exports) == "wire.mask"
    assert resolve(("std", "x"), modules, exports) == ""
