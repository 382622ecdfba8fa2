from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evaluators.datasets import fashion_mnist
from evaluators.datasets._fetch import RemoteFile, fetch, search_path
from evaluators.datasets._table import DATASETS
from search_spaces.errors import DataError

BODY = bytes(range(256)) * 20


class Handler(BaseHTTPRequestHandler):
    def __init__(self, files, *args):
        self.files = files
        super().__init__(*args)

    def do_GET(self):
        name = self.path.lstrip("/")
        if name not in self.files:
            self.send_error(404)
            return
        body = self.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 100 * name.startswith("short")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    files = {"whole.bin": BODY, "short.bin": BODY}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, files)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/", files
        httpd.shutdown()
        thread.join()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def test_a_download_is_whole(server, tmp_path):
    url, _ = server
    path = fetch(RemoteFile(url + "whole.bin", md5(BODY)), tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "whole.bin"
    assert path.read_bytes() == BODY
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "checksum", "message"),
    [
        ("whole.bin", "0" * 32, "has md5 [0-9a-f]{32}, published is 0{32}; nothing was kept"),
        ("short.bin", md5(BODY), "the transfer ended after 5,120 of 5,220 bytes; nothing was kept"),
        ("absent.bin", md5(BODY), r"cannot download http://.*absent.bin to .*404"),
    ],
)
def test_a_failed_download_leaves_nothing(server, tmp_path, name, checksum, message):
    url, _ = server
    with pytest.raises(DataError, match=message):
        fetch(RemoteFile(url + name, checksum), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_keeps_the_old_file(server, tmp_path):
    url, _ = server
    (tmp_path / "whole.bin").write_bytes(b"old")
    with pytest.raises(DataError, match="published is"):
        fetch(RemoteFile(url + "whole.bin", "0" * 32), tmp_path)
    assert (tmp_path / "whole.bin").read_bytes() == b"old"


def test_an_interrupted_download_leaves_nothing(server, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    url, _ = server
    monkeypatch.setattr("evaluators.datasets._fetch._copy", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(RemoteFile(url + "whole.bin", md5(BODY)), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(server, tmp_path):
    url, _ = server
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot download .* to .*file"):
        fetch(RemoteFile(url + "whole.bin", md5(BODY)), tmp_path / "file")


def test_no_server(tmp_path):
    with pytest.raises(DataError, match=r"cannot download http://127.0.0.1:1/x to .*refused"):
        fetch(RemoteFile("http://127.0.0.1:1/x", "0" * 32), tmp_path)


def test_the_published_files_are_asked_for_over_https():
    assert all(f.url.startswith("https://") for fs in fashion_mnist.FILES.values() for f in fs)


def test_download_fills_the_cache(server, tmp_path, monkeypatch):
    url, files = server
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "absent")
    remote = {}
    for split, n in (("train", 30), ("test", 10)):
        images = b"\0\0\x08\x03" + b"".join(x.to_bytes(4, "big") for x in (n, 28, 28))
        labels = b"\0\0\x08\x01" + n.to_bytes(4, "big") + bytes(i % 10 for i in range(n))
        files[f"{split}-x"], files[f"{split}-y"] = images + bytes(n * 784), labels
        remote[split] = tuple(
            RemoteFile(f"{url}{split}-{a}", md5(files[f"{split}-{a}"])) for a in "xy"
        )
    monkeypatch.setattr(fashion_mnist, "FILES", remote)
    with pytest.raises(DataError, match=r"train-x is not in .*absent or .*--data-dir.*--download"):
        DATASETS["fashion-mnist"].read(None, False)
    for _ in range(2):  # the second time from the cache
        arrays = DATASETS["fashion-mnist"].read(None, True)
        files.clear()
    assert arrays.splits["train"][0].shape == (30, 28, 28, 1)
    assert (tmp_path / "home" / "nas" / "data" / "fashion-mnist" / "train-x").is_file()


def test_search_path(monkeypatch):
    system = [Path("/usr/share/x")]
    assert search_path("x", "/data", system) == [Path("/data"), Path("/data/x")]
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert search_path("x", None, system) == [Path("/usr/share/x"), Path("/cache/nas/data/x")]
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert search_path("x", None) == [Path.home() / ".cache" / "nas" / "data" / "x"]
