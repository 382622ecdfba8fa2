"""A report says what is known, whatever is missing, and needs no network."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nas.config import SearchConfig
from nas.pareto import non_dominated, recommend, wilson
from nas.report import write_report
from nas.report.pictures import colors_of, kinds, picture
from nas.report.plots import dominated_share
from nas.report.sections import command
from nas.runs import RunError
from search_spaces.arch import Task
from search_spaces.blocks.eesp import EESP
from search_spaces.blocks.mbconv import MBConv
from search_spaces.blocks.shufflev2 import ShuffleV2
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from pathlib import Path

MENUS = (MBConv.over(), ShuffleV2.over(), EESP.over())
SPACE = Space(
    "small",
    Stem(16, stride=1),
    (16, 24),
    tuple(
        StageSpace(width, depth, 2, MENUS)
        for width, depth in [((16, 24, 32), (1, 2)), ((32, 48, 64), (1, 2, 3)), ((64, 96), (1, 2))]
    ),
    Head(),
    (0, 256),
)
TASK = Task(10, (1, 28, 28))
TEST_IMAGES = 10_000
LIMIT_MS = 0.6


def trials(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng, rows = random.Random(seed), []
    for number in range(n):
        arch = SPACE.sample(rng)
        cost = arch.cost(TASK)
        latency = 0.05 + cost.macs / 9e6 * rng.uniform(0.8, 1.4)
        accuracy = 0.93 - 0.12 * np.exp(-cost.params / 4e4) - rng.uniform(0, 0.05)
        state = rng.choices(["complete", "stopped", "failed"], [20, 6, 1])[0]
        state = "infeasible" if latency > LIMIT_MS else state
        row = {"number": number, "state": state, "digest": arch.digest, "arch": str(arch)}
        row |= {"params": cost.params, "macs": cost.macs, "size_bytes": cost.size_bytes}
        row |= {"latency_ms": latency, "seconds": 4.2}
        row["accuracy"] = accuracy - (0.15 if state == "stopped" else 0)
        row |= {"epochs": 3 if state == "stopped" else 9, "reason": ""}
        if state == "failed":
            row |= {"accuracy": None, "latency_ms": None, "reason": "CandidateError: loss is NaN"}
        if state == "infeasible":
            row |= {"reason": f"latency {latency:.2f} ms is over {LIMIT_MS} ms"}
        rows.append(row)
    return pd.DataFrame(rows)


def finalists(frame: pd.DataFrame, most: int = 5) -> pd.DataFrame:
    done = frame[frame["state"] == "complete"]
    front = done[non_dominated(done[["accuracy", "latency_ms"]], ("max", "min"))]
    front = front.nlargest(most, "accuracy").assign(epochs=24, seeds=1, test_images=TEST_IMAGES)
    front["test_accuracy"] = front["accuracy"] + 0.012
    ends = [wilson(value, TEST_IMAGES) for value in front["test_accuracy"]]
    front["test_accuracy_low"], front["test_accuracy_high"] = zip(*ends, strict=True)
    front["latency_low_ms"] = front["latency_ms"] * 0.98
    front["latency_high_ms"] = front["latency_ms"] * 1.03
    return front.assign(recommended=front["digest"] == recommend(front))


def repeated(front: pd.DataFrame) -> pd.DataFrame:
    means = {f"{name}_mean": front[name] - 0.01 for name in ("accuracy", "test_accuracy")}
    return front.assign(seeds=3, accuracy_sd=0.004, test_accuracy_sd=0.006, **means)


def header(**changes: Any) -> dict[str, Any]:
    config = SearchConfig(budget_params=300_000, budget_latency=LIMIT_MS, trials=60, seed=7)
    return {
        "schema": 1,
        "status": "complete",
        "config": config.to_plain(),
        "task": {"classes": 10, "shape": [1, 28, 28]},
        "space": "small",
        "versions": {"python": "3.11.2", "torch": "2.13.0"},
        "machine": {"cpu": "Example CPU", "cores": 2, "memory_bytes": 8 << 30, "os": "Linux"},
        "git_commit": "0123456789abcdef",
        "started": "2026-11-24T02:00:00+00:00",
        "seconds": {"search": 412.0, "finish": 130.5},
    } | changes


def write_run(folder: Path, run: dict[str, Any], **tables: pd.DataFrame) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run), "utf-8")
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    frame = trials()
    return write_run(tmp_path / "run", header(), trials=frame, pareto=finalists(frame))


def body(path: Path) -> str:
    """The report without plotly's own script."""
    text = path.read_text("utf-8")
    return re.sub(r"<script[^>]*>[^<]{0,40}/\*\*.*?</script>", "", text, flags=re.S)


def test_says_what_to_take_and_how_sure(run: Path) -> None:
    front = pd.read_csv(run / "pareto.csv")
    best = front[front["recommended"]].iloc[0]
    (run / "models" / best.digest).mkdir(parents=True)
    (run / "models" / best.digest / "model.onnx").write_bytes(b"")
    text = body(write_report(run))
    low, high = 100 * best.test_accuracy_low, 100 * best.test_accuracy_high
    assert f"Recommended: <code>{best.digest}</code>" in text
    assert f"{100 * best.test_accuracy:.1f}&nbsp;%" in text
    assert (
        f"95&nbsp;% interval {low:.1f} to {high:.1f}&nbsp;%<br>10,000 test images, 1 seed" in text
    )
    assert f"{best.latency_ms:.3f} ± {0.025 * best.latency_ms:.1g}&nbsp;ms" in text
    assert f'href="models/{best.digest}/model.onnx"' in text
    assert "≈" in text
    assert "not complete" not in text


def test_a_noisy_latency_is_marked(run: Path) -> None:
    front = pd.read_csv(run / "pareto.csv")
    assert "&nbsp;ms !" not in body(write_report(run))
    front.assign(latency_flagged=1.0).to_csv(run / "pareto.csv", index=False)
    assert body(write_report(run)).count("&nbsp;ms !") >= len(front)


def test_every_member_of_the_front_has_a_row_and_a_picture(run: Path) -> None:
    text = body(write_report(run))
    front = pd.read_csv(run / "pareto.csv")
    for arch in front["arch"]:
        assert f"<code>{arch}</code>" in text
    assert text.count('class="arch"') == len(front) + 1  # and that of the recommendation
    assert text.count("<tr><td data-key") + text.count("<tr class=best>") == len(front)


def test_unshifted_channels_have_a_column_where_there_are_sparse_shifts(run: Path) -> None:
    assert "unshifted" not in body(write_report(run))
    front = pd.read_csv(run / "pareto.csv")
    shares = [0.25, *[None] * (len(front) - 1)]
    front.assign(unshifted_share=shares).to_csv(run / "pareto.csv", index=False)
    text = body(write_report(run))
    assert ">unshifted</button>" in text
    assert text.count(">25.0&nbsp;%</td>") == 1


def test_failures_have_their_reasons(run: Path) -> None:
    text = body(write_report(run))
    frame = pd.read_csv(run / "trials.csv").dropna(subset=["reason"])
    assert all(reason in text for reason in frame["reason"])
    assert f"{len(frame)} reasons" in text


def test_long_lists_of_failures_are_cut(tmp_path: Path) -> None:
    frame = trials(150).assign(state="failed", reason="no memory", accuracy=None)
    text = body(write_report(write_run(tmp_path, header(), trials=frame)))
    assert "150 reasons" in text
    assert "50 more are in trials.csv" in text


def test_needs_no_network_and_repeats_itself(run: Path) -> None:
    first = write_report(run).read_text("utf-8")
    assert first.count("plotly.js v") >= 1
    assert not re.search(
        r"<(script|link|img|iframe)[^>]*\s(src|href)=[\"'](?!data:)", body(run / "report.html")
    )
    assert write_report(run).read_text("utf-8") == first


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_without_trials_says_so(tmp_path: Path, status: str) -> None:
    text = body(write_report(write_run(tmp_path, header(status=status))))
    assert f"not complete (status: {status})" in text
    assert "No trial is finished yet" in text
    assert "There is no recommendation: no candidate has been evaluated" in text
    assert "nothing to draw" in text


def test_empty_files_and_a_bare_header_do_no_harm(tmp_path: Path) -> None:
    folder = write_run(tmp_path, {"schema": 1}, trials=trials()[["number", "state"]])
    (folder / "pareto.csv").touch()
    assert "status: unknown" in body(write_report(folder))


def test_trials_without_a_front_are_drawn(tmp_path: Path) -> None:
    text = body(write_report(write_run(tmp_path, header(status="running"), trials=trials())))
    assert "There is no recommendation" in text
    assert "Accuracy against latency" in text


def test_a_front_that_is_not_trained_to_the_end_says_so(tmp_path: Path) -> None:
    frame = trials()
    front = finalists(frame).drop(columns=["test_accuracy", "test_images", "seeds"])
    text = body(write_report(write_run(tmp_path, header(), trials=frame, pareto=front)))
    assert "None of them is trained to the end yet" in text
    assert "not tested yet" in text


def test_a_front_without_test_accuracy_or_latency_is_drawn(tmp_path: Path) -> None:
    frame = trials()
    front = finalists(frame)[["digest", "arch", "params", "accuracy"]]
    text = body(write_report(write_run(tmp_path, header(), trials=frame, pareto=front)))
    assert "no architecture is marked" in text
    assert "Accuracy against parameters" in text


def test_means_over_seeds_come_with_their_spread(tmp_path: Path) -> None:
    frame = trials()
    front = repeated(finalists(frame))
    text = body(write_report(write_run(tmp_path, header(), trials=frame, pareto=front)))
    best = front[front["recommended"]].iloc[0]
    assert f"3 seeds (mean {100 * best.test_accuracy_mean:.1f} ± 0.6&nbsp;%)" in text
    for mean in front["accuracy_mean"]:
        assert f"<small>{100 * mean:.1f} ± 0.4&nbsp;%</small>" in text


def test_where_the_time_went_is_told(tmp_path: Path) -> None:
    run = header(spent={"workers": {"training": 75.0, "idle": 25.0}, "beside": {"sampling": 3.0}})
    text = body(write_report(write_run(tmp_path, run, trials=trials())))
    assert "1:40 of the workers: training 75%, idle 25%; beside them sampling 0:03." in text


def test_user_text_is_escaped(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    frame = trials().assign(arch=evil, reason=evil)
    frame.loc[0, "state"] = "failed"
    front = finalists(frame).assign(digest=evil)
    run = header(space=evil, machine={evil: evil}, status=evil, git_commit=evil)
    run["config"]["data"] = evil
    text = write_report(write_run(tmp_path, run, trials=frame, pareto=front)).read_text("utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text


def test_digests_are_no_numbers(tmp_path: Path) -> None:
    front = finalists(trials()).assign(digest="12e456789012")
    text = body(write_report(write_run(tmp_path, header(), pareto=front)))
    assert "<code>12e456789012</code>" in text


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a run folder"):
        write_report(tmp_path)


def test_command_repeats_the_search() -> None:
    config = SearchConfig(
        data="my images", budget_params=3_600_000, budget_latency=5.0, download=True, trials=9
    )
    assert command(config.to_plain()) == (
        "nas search --data 'my images' --download --budget-params 3600000 "
        "--budget-latency 5.0ms --trials 9 --timeout 600.0 --seed 0"
    )
    assert (
        command(SearchConfig(trials=9, timeout=None).to_plain()) == "nas search --trials 9 --seed 0"
    )


def test_blocks_of_an_unknown_plugin_have_a_picture() -> None:
    arch = "stem(width=16) | stage(width=24,stride=2): 2*mine(size=5), mbconv | head(width=0)"
    assert kinds(arch) == ["mine", "mine", "mbconv"]
    drawn = picture(arch, colors_of([arch]))
    assert drawn.count('title="mine: size 5"') == 2
    assert "↓2" in drawn


@pytest.mark.parametrize("arch", ["", "nonsense", "stem | stage: | head", "a | b: c(d | e"])
def test_unreadable_architectures_have_no_picture(arch: str) -> None:
    assert kinds(arch) == []
    assert picture(arch, {}) == ""


def test_dominated_share_only_grows() -> None:
    points = np.array([[0.5, 3.0], [np.nan, 1.0], [0.9, 5.0], [0.9, 3.0], [0.4, 9.0]])
    assert dominated_share(points) == pytest.approx([0.2, 0.2, 2.2 / 3, 1.0, 1.0])
    assert dominated_share(points[1:2]) == [0.0]


CLICKS = """
<script>
const heads = [...document.querySelectorAll("th button")];
const firsts = [1, 1, 0].map(i => {
  heads[i].click();
  return document.querySelector("tbody tr code").textContent.trim().slice(-12);
});
const wide = [...document.querySelectorAll(".js-plotly-plot")].filter(
  plot => plot.querySelector(".main-svg").getBoundingClientRect().right > innerWidth);
document.documentElement.dataset.seen = JSON.stringify([...firsts, wide.length]);
</script>
"""


def chromium(page: Path, *options: str) -> str:
    """Open a page without a network; return what went to the standard output."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    always += [
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={page.parent / 'profile'}",
    ]
    done = subprocess.run(
        [browser, *always, "--virtual-time-budget=5000", *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not re.findall(r".*CONSOLE.*", done.stderr)
    return done.stdout


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 500])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_errors(run: Path, width: int, scheme: str) -> None:
    file = run / "page.png"
    chromium(
        write_report(run),
        f"--blink-settings=preferredColorScheme={int(scheme == 'light')}",
        f"--window-size={width},4000",
        f"--screenshot={file}",
    )
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (4000, width, 3)
    assert (pixels[2, 2].mean() > 128) == (scheme == "light")
    assert pixels[-200:].std() > 5  # the page is drawn down to its end


@pytest.mark.browser
def test_table_is_sorted_by_a_click(run: Path) -> None:
    page = run / "clicked.html"
    page.write_text(write_report(run).read_text("utf-8") + CLICKS, "utf-8")
    seen = re.search(r'data-seen="([^"]*)"', chromium(page, "--dump-dom"))
    assert seen
    front = pd.read_csv(run / "pareto.csv").sort_values("test_accuracy")["digest"]
    expected = [front.iloc[0], front.iloc[-1], front.min(), 0]
    assert json.loads(seen[1].replace("&quot;", '"')) == expected
