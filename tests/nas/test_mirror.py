"""Runs at a URL, by file systems of fsspec's own and one that fails on demand."""

import shutil
import sqlite3
import time
from contextlib import closing, suppress

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import nas
from evaluators.evaluator import Report
from nas import checksums, following
from nas.cli import main
from nas.exporting import find_model
from nas.mirror import Mirror, fetched, mirror_of
from nas.progress import Progress
from nas.runs import RunError, create_run, locked, read_run, update_run
from nas.sealing import run_faults, seal_run, unseal_run
from nas.stores import StoreError
from nas.verify import verify

URL = "faulty://bucket/run"


class Faulty(MemoryFileSystem):
    """A store in memory that is unreachable while `down`, or from a number of files on."""

    protocol = "faulty"
    store = {}  # noqa: RUF012 as fsspec has it: one for all instances
    pseudo_dirs = [""]  # noqa: RUF012
    down = False
    left = None
    put = ()

    def _reach(self):
        if Faulty.down:
            raise TimeoutError("no route to the store\nmore that nobody reads")

    def find(self, *args, **options):
        self._reach()
        return super().find(*args, **options)

    def cat_file(self, *args, **options):
        self._reach()
        return super().cat_file(*args, **options)

    def put_file(self, *args, **options):
        if Faulty.left is not None:
            Faulty.left -= 1
            Faulty.down |= Faulty.left < 0
        self._reach()
        Faulty.put += (args[1].rpartition("/")[2],)
        return super().put_file(*args, **options)

    def pipe_file(self, *args, **options):
        self._reach()
        return super().pipe_file(*args, **options)


fsspec.register_implementation("faulty", Faulty, clobber=True)


@pytest.fixture(autouse=True)
def _fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(following, "_PAUSE_S", 0.01)
    Faulty.store.clear()
    Faulty.down, Faulty.left, Faulty.put = False, None, ()
    yield
    MemoryFileSystem.store.clear()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to another machine: its cache knows nothing."""

    def go(name="other"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    return go


def begun(url=URL):
    """Begin a run of made-up files."""
    mirror = Mirror(url)
    mirror.begin()
    return mirror, create_run(nas.SearchConfig(), mirror.folder)


def write_model(run, text="1"):
    model = run / "models" / "abc"
    model.mkdir(exist_ok=True)
    checksums.replace(model, {"weights": text.encode(), "card": text.encode()})


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("run.lock", ".sitting", ".copied")
    }


def wait_for(what):
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("scheme", ["file", "memory"])
def test_what_changes_is_copied_and_what_goes_is_removed(tmp_path, elsewhere, scheme):
    url = f"{scheme}://{tmp_path}/bucket/run"
    mirror, run = begun(url)
    notes = []
    with mirror.kept(notes.append):
        write_model(run)
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "abc.pt").write_text("1")
        (run / "models" / ".abc.pt").write_text("1")
        (run / ".trials.csv.0a1b").write_text("a draft")
        files, root = fsspec.url_to_fs(url)
        wait_for(lambda: files.exists(f"{root}/checkpoints/abc.pt"))
        shutil.rmtree(run / "checkpoints")
        wait_for(lambda: not files.exists(f"{root}/checkpoints/abc.pt"))
        write_model(run, "2")
        seal_run(run)
    assert notes == [f"the run is at {url}, too"]
    wanted = tree(run)
    del wanted[".trials.csv.0a1b"]
    elsewhere()
    copy = fetched(url)
    assert tree(copy) == wanted
    assert run_faults(copy) == []


def test_databases_are_copied_whole_and_by_the_byte_once_sealed(elsewhere):
    mirror, run = begun()
    path = run / "study.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (x)")
        database.commit()
        database.execute("INSERT INTO t VALUES (1)")  # and nobody has seen it yet
        mirror.push()
        database.commit()
        mirror.push()
    seal_run(run)
    mirror.push()
    elsewhere()
    copy = fetched(URL)
    assert (copy / "study.db").read_bytes() == path.read_bytes()
    assert run_faults(copy) == []
    unseal_run(run)
    mirror.push()
    elsewhere("third")
    assert not (fetched(URL) / checksums.FILE).exists()


def test_what_is_there_is_refused_and_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("mine")
    url = f"file://{tmp_path}/run"
    with pytest.raises(StoreError, match=f"exists; choose another --out, or .*nas resume {url}"):
        Mirror(url).begin()
    (tmp_path / "run" / "run.json").rename(tmp_path / "run" / "other")
    with pytest.raises(StoreError, match=r"run exists; choose another --out$"):
        Mirror(url).begin()
    assert tree(tmp_path / "run") == {"other": b"mine"}


def test_a_url_without_a_folder_is_refused():
    with pytest.raises(StoreError, match="names no folder of a run"):
        mirror_of("memory://")


@pytest.mark.parametrize("command", ["search --trials 1 --out", "resume", "verify"])
def test_a_store_that_is_down_at_the_start_is_one_line(command, capsys):
    Faulty.down = True
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), URL])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {URL} cannot be read: no route to the store\n"
    assert not Mirror(URL).folder.exists()


def test_a_store_that_fails_in_the_middle_costs_nothing(elsewhere):
    (mirror, run), notes = begun(), []
    with mirror.kept(notes.append):
        Faulty.down = True
        wait_for(lambda: notes)
        write_model(run)
        Faulty.down = False
        wait_for(lambda: len(notes) == 2)
    assert "no route to the store; the run goes on in" in notes[0]
    assert notes[1:] == [f"{URL} works again and has the whole run", f"the run is at {URL}, too"]
    elsewhere()
    assert tree(fetched(URL)) == tree(run)


def test_a_store_that_stays_away_is_an_error_that_loses_nothing(elsewhere):
    mirror, run = begun()

    def go_on():
        with mirror.kept(lambda _: None):
            Faulty.down = True
            write_model(run)

    with pytest.raises(StoreError, match=f"nothing is lost: .*copied by: nas resume {URL}"):
        go_on()
    Faulty.down = False
    again = Mirror(URL)
    assert again.fetch() == run  # the newer one
    again.go_on()
    with again.kept(lambda _: None):
        pass
    elsewhere()
    assert tree(fetched(URL)) == tree(run)


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_goes_on_copies_only_what_differs(elsewhere, where):
    mirror, run = begun()
    write_model(run)
    (run / "table").write_text("1")
    (run / "gone").write_text("1")
    mirror.push()
    if where == "elsewhere":
        elsewhere()
    again = Mirror(URL)
    run = again.fetch()
    (run / "table").write_text("other")
    (run / "gone").unlink()
    Faulty.put = ()
    again.go_on()
    again.push()
    assert Faulty.put == (".table.part",)
    elsewhere("third")
    assert tree(fetched(URL)) == tree(run)


def test_what_changed_at_the_url_since_it_was_fetched_is_put_right(elsewhere):
    mirror, run = begun()
    (run / "table").write_text("1")
    mirror.push()
    elsewhere()
    other = Mirror(URL)
    copy = other.fetch()
    (run / "table").write_text("2, too late")
    (run / "more").write_text("2")
    mirror.push()
    other.go_on()
    other.push()
    elsewhere("third")
    assert tree(fetched(URL)) == tree(copy)
    assert (copy / "table").read_text() == "1"


def test_an_error_of_the_run_is_not_hidden_by_one_of_the_store():
    mirror, _ = begun()

    def go_on():
        with mirror.kept(lambda _: None):
            Faulty.down = True
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_on()


def test_a_machine_that_is_lost_in_the_middle_of_a_copy(elsewhere):
    """Whatever was the last file that was copied, the rest makes a run that can go on."""
    for files in range(1, 8):
        elsewhere(str(files))
        Faulty.store.clear()
        Faulty.down, Faulty.left = False, None
        mirror, run = begun()
        write_model(run, "1")
        seal_run(run)
        mirror.push()
        unseal_run(run)
        update_run(run, status="complete")
        write_model(run, "2")
        (run / "more").write_text("2")
        seal_run(run)
        Faulty.left = files
        with suppress(StoreError):
            mirror.push()
        Faulty.down, Faulty.left = False, None
        elsewhere(f"{files} other")
        copy = fetched(URL)
        assert run_faults(copy) in ([], [f"{copy / checksums.FILE}: is missing"])
        if read_run(copy)["status"] == "complete":  # it tells of nothing that is not there
            assert (copy / "more").read_text() == (copy / "models/abc/card").read_text() == "2"
        for model in (copy / "models").iterdir():
            assert not list(checksums.differences(model, checksums.read(model)))


def test_a_model_whose_copy_was_cut_off_is_left_out(elsewhere):
    mirror, run = begun()
    write_model(run)
    mirror.push()
    mirror._remove(["models/abc/weights"])
    elsewhere()
    assert not list((fetched(URL) / "models").iterdir())


def test_a_sealed_run_that_lacks_a_file_is_damaged(elsewhere):
    mirror, run = begun()
    write_model(run)
    seal_run(run)
    mirror.push()
    mirror._remove(["models/abc/weights"])
    elsewhere()
    assert any("weights: is missing" in fault for fault in verify(fetched(URL))[1])


def test_who_was_overtaken_leaves_the_run_to_the_other(tmp_path):
    mirror, run = begun()
    other = Mirror(URL)
    other.folder = tmp_path / "other"

    def go_on():
        with mirror.kept(lambda _: None):
            wait_for(lambda: "run.json" in other._found())
            other.fetch()
            other.go_on()
            (run / "mine").write_text("only here")

    with pytest.raises(StoreError, match=f"another process has gone on with {URL}"):
        go_on()
    assert "mine" not in other._found()
    assert not (Mirror(URL).fetch() / "mine").exists()
    (aside,) = run.parent.glob("run.*")
    assert (aside / "mine").read_text() == "only here"


def test_a_fetch_that_is_cut_off_leaves_nothing(elsewhere, monkeypatch):
    mirror, _ = begun()
    mirror.push()
    elsewhere()
    cut_off = Mirror(URL)
    monkeypatch.setattr(Faulty, "get_file", lambda *_, **__: 1 / 0)
    with pytest.raises(StoreError, match=f"{URL} cannot be fetched"):
        cut_off.fetch()
    assert not [*cut_off.folder.parent.iterdir()]


def test_a_run_under_way_here_is_not_fetched_over():
    mirror, run = begun()
    mirror.push()
    with locked(run), pytest.raises(RunError, match="is in use by process"):
        fetched(URL)


@pytest.mark.slow
def test_a_search_at_a_url_goes_on_elsewhere(toy, monkeypatch, elsewhere):
    def measure(self, arch, task):
        yield Report(1, dict.fromkeys(("latency_ms", "latency_low_ms", "latency_high_ms"), 1.0))

    class Stop(Progress):
        notes = ()

        def ended(self, label, *_):
            if label == "1":
                raise KeyboardInterrupt

        def note(self, text):
            self.notes += (text,)

    monkeypatch.setattr("evaluators.isolated.Isolated.__call__", measure)
    config = nas.SearchConfig(
        data=str(toy / "images.npz"), space=str(toy / "space.json"), sampler="random",
        budget_params=1500, trials=3, timeout=None, epochs=1, finalists=1, final_epochs=1,
        workers=1,
    )  # fmt: skip
    stop = Stop()
    assert nas.search(config, URL, stop).status == "interrupted"
    assert stop.notes[0] == f"interrupted; go on with: nas resume {URL}"
    assert "faulty" not in (Mirror(URL).folder / "run.json").read_text()
    elsewhere()
    done = nas.resume(URL)
    assert (done.status, len(done.trials)) == ("complete", 3)
    elsewhere("third")
    copy = fetched(URL)
    assert tree(copy) == tree(done.directory)
    assert verify(copy) == ([copy / "models" / done.recommended], [])
    assert find_model(f"{URL}:{done.recommended[:5]}") == copy / "models" / done.recommended
    assert read_run(copy)["status"] == "complete"
