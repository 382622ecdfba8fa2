"""Files behind a URL: they come back as they were, and what goes wrong is one line."""

import sys

import pytest

from nas.hub import HubError
from nas.stores import Store, StoreError, failures


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_files_come_back_as_they_were(scheme, tmp_path):
    store = Store(f"{scheme}://{tmp_path}/store/")
    assert store.found() == {}
    (tmp_path / "here").write_text("1")
    store.write("small", b"2")
    store.put(tmp_path / "here", "deep/one")
    assert store.read("small") == b"2"
    assert store.read("missing") is None
    store.get("deep/one", tmp_path / "back")
    assert (tmp_path / "back").read_text() == "1"
    before = store.found()
    assert before.keys() == {"small", "deep/one"}
    assert store.found() == before
    (tmp_path / "here").write_text("other")
    store.put(tmp_path / "here", "deep/one")
    assert store.found()["deep/one"] != before["deep/one"]
    store.remove("small")
    store.remove("small")
    assert store.found().keys() == {"deep/one"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nowhere://bucket/run", "cannot be used: .*nowhere"),
        ("ftp://me:s3cret@host/run", "has credentials before its `@`"),
    ],
)
def test_urls_that_cannot_be_used(url, message):
    with pytest.raises(StoreError, match=message) as refused:
        Store(url)
    assert "s3cret" not in str(refused.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"another package: pip install 'nas-compact\[s3\]'"):
        Store("s3://bucket/run")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "it: No space left on device"),
        (TimeoutError("no route\nmore that nobody reads"), "it: no route"),
        (ZeroDivisionError(), "it: ZeroDivisionError"),
        (StoreError("ours"), "ours"),
    ],
)
def test_what_a_store_raises_is_one_line(error, line):
    with pytest.raises((StoreError, HubError)) as told, failures("it", HubError):
        raise error
    assert str(told.value) == line
