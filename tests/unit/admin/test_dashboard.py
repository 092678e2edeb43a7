"""The files of the dashboard, and what browsers are told about them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fanwire.admin import dashboard as module
from fanwire.admin.dashboard import FILES, Dashboard, policy_for

PAGE = Path(module.__file__).parent / "page"


@pytest.fixture
def client() -> TestClient:
    return TestClient(Dashboard("/ops"), base_url="http://example.com:8000", follow_redirects=False)


def test_it_has_its_own_files_only() -> None:
    dashboard = Dashboard("/ops")
    ours = ["/ops", "/ops/", "/ops/dashboard.js", "/ops/fanwire.js"]
    others = ["/", "/opsx", "/ops/api/v1/rooms", "/ops/page", "/ops/../x", "/ops/%2e%2e", "/dashboard.js", "/ops//"]
    assert [dashboard.has(path) for path in ours + others] == [True] * len(ours) + [False] * len(others)


def test_the_page_and_everything_that_it_names_is_served(client: TestClient) -> None:
    page = client.get("/ops/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    names = re.findall(r'(?:src|href)="([a-z.]+)"', page.text)
    assert set(names) == {"dashboard.css", "dashboard.js"}
    scripts = "".join((PAGE / name).read_text() for name in FILES if name.endswith(".js"))
    for name in [*names, *re.findall(r'from "\./([a-z.]+)"', scripts)]:
        assert client.get(f"/ops/{name}").status_code == 200, name


def test_nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup(client: TestClient) -> None:
    policy = client.get("/ops/").headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "ws://example.com:8000" in policy
    assert "unsafe" not in policy
    for name in FILES:
        text = (PAGE / name).read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|localStorage", text), (
            name
        )
        assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?https?:""", text.replace("http://www.w3.org", "")), name
    assert not re.search(r"<script>|\son[a-z]+=|style=", (PAGE / "index.html").read_text())


@pytest.mark.parametrize("host", ["a b", "x; script-src *", "", "a.example:1:2", "'self'"])
def test_a_host_that_is_none_adds_nothing_to_the_policy(host: str) -> None:
    assert policy_for(host) == policy_for("")


def test_the_path_without_a_slash_leads_to_the_page(client: TestClient) -> None:
    answer = client.get("/ops")
    assert (answer.status_code, answer.headers["location"]) == (307, "ops/")


def test_a_file_that_has_not_changed_is_not_sent_again(client: TestClient) -> None:
    tag = client.get("/ops/dashboard.js").headers["etag"]
    assert client.get("/ops/dashboard.js", headers={"If-None-Match": tag}).status_code == 304


def test_other_methods_are_refused(client: TestClient) -> None:
    answer = client.post("/ops/")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
