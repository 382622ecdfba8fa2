"""The cache folder is where the user says, or in the home folder."""

from pathlib import Path

import pytest

from search_spaces.user_cache import user_cache


@pytest.mark.parametrize(("given", "base"), [("/a/b", "/a/b"), ("", "/home/me/.cache")])
def test_the_folder(monkeypatch, given, base):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache() == Path(base) / "nas"
