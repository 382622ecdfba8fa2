"""A cluster that asks for a token, of a process of its own."""

import os
import re
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from socket import create_connection, create_server
from time import sleep

import pytest

pytestmark = pytest.mark.ray

CODE = """
import sys
from nas.executors.ray import RayError, RayExecutor
try:
    with RayExecutor(sys.argv[1]):
        print("connected")
except RayError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """An environment without a token, and a file that has one."""
    folder = tmp_path_factory.mktemp("home")
    token = folder / "token"
    token.write_text("0123456789abcdef" * 4)
    kept = {name: value for name, value in os.environ.items() if "RAY_AUTH" not in name}
    return kept | {"HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}, token


@pytest.fixture(scope="module")
def address(home):
    environment, token = home
    with closing(create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    ray = Path(sys.executable).with_name("ray")
    options = f"start --head --block --port {port} --include-dashboard=false --num-cpus 1"
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    process = subprocess.Popen([ray, *options.split()], env=environment | secret)
    while process.poll() is None:
        with suppress(ConnectionError), create_connection(("127.0.0.1", port)):
            break
        sleep(0.2)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.mark.parametrize(
    ("mode", "given", "message"),
    [
        ("token", "the right one", "connected"),
        ("token", "none", "Token authentication is enabled but no .*; if it asks for a token, set"),
        ("disabled", "none", "Failed to connect .*; if it asks for a token, set RAY_AUTH_MODE=tok"),
        ("token", "a wrong one", "Failed to connect .*; if it asks for a token, set RAY_AUTH_MODE"),
    ],
)
def test_a_missing_token_is_named(address, home, mode, given, message):
    environment, token = home
    more = {
        "the right one": {"RAY_AUTH_TOKEN_PATH": str(token)},
        "a wrong one": {"RAY_AUTH_TOKEN": "f" * 64},
        "none": {},
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE, address],
        env=environment | {"RAY_AUTH_MODE": mode} | more[given],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(message, done.stdout), done.stderr
    assert "Traceback" not in done.stderr
