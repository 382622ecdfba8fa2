"""The database of a study: SQLite, and a PostgreSQL and a MariaDB that the tests kill."""

import sys

import pytest
from optuna import load_study
from sqlalchemy import event

from evaluators.evaluator import Metric
from nas import record
from nas.record import STUDY, Record, open_database
from nas.storage import StudyError
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.spaces import SPACES

TASK, OBJECTIVES = Task(10, (1, 28, 28)), (Metric("accuracy", "max"),)


@pytest.fixture(autouse=True)
def _connections(monkeypatch):
    """End the connections that a process would keep to its end."""
    opened = []

    def open_database(storage):
        opened.append(open_(storage))
        return opened[-1]

    open_ = record.open_database
    monkeypatch.setattr(record, "open_database", open_database)
    yield
    for database in opened:
        database.remove_session()
        database.engine.dispose()


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def storage(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/{{x}}.db"
    server = request.getfixturevalue(request.param)
    return server.create(f"test_{tmp_path.name}".lower())


def study(kept, **options):
    options = {"sampler": "random"} | options
    return Study(SPACES["small"], TASK, OBJECTIVES, storage=kept, **options)


def play(searching, count):
    for _ in range(count):
        candidate = searching.ask()
        searching.tell(candidate, "complete", {"accuracy": candidate.number / 100})
    return searching.frame()["digest"].tolist()


def numbers(storage, name=STUDY):
    """The trials as `optuna-dashboard` sees them."""
    trials = load_study(study_name=name, storage=record.open_database(storage)).trials
    return [t.user_attrs["number"] for t in trials]


def test_a_study_goes_on_where_it_was(storage):
    first = play(study(Record(storage)), 3)
    second = study(Record(storage, existing=True))
    assert second.frame()["digest"].tolist() == first
    assert play(second, 2) == play(study(None), 5)


def test_what_is_told_again_counts_last(storage):
    searching = study(Record(storage))
    candidate = searching.ask()
    searching.tell(candidate, "paused", {"accuracy": 0.1})
    play(searching, 1)
    searching.tell(candidate, "complete", {"accuracy": 0.2})
    found = study(Record(storage, existing=True)).frame()
    assert found["state"].tolist() == ["complete", "complete"]
    assert found["accuracy"].tolist() == [0.2, 0.01]


def test_runs_in_one_database_do_not_mix(storage):
    one, other = study(Record(storage, "one")), study(Record(storage, "other"), seed=1)
    first, second = play(one, 3), play(other, 2)
    assert study(Record(storage, "one")).frame()["digest"].tolist() == first
    assert study(Record(storage, "other")).frame()["digest"].tolist() == second


def test_a_study_that_must_be_there_is_not_made(storage):
    with pytest.raises(StudyError, match="has no study 'gone': is it this run's database"):
        study(Record(storage, "gone", existing=True))


def test_what_a_trial_asks_of_the_database_does_not_depend_on_its_genes(tmp_path):
    kept = Record(f"sqlite:///{tmp_path}/study.db")
    searching, asked = study(kept), []
    play(searching, 1)

    def listen(connection, cursor, statement, *_):
        asked.append(statement)

    event.listen(kept._table._database.engine, "before_cursor_execute", listen)
    candidate = searching.ask()
    searching.tell(candidate, "complete", {"accuracy": 0.1})
    told = searching._trials.told[candidate.number]
    assert len(told.params) > 20
    assert not [text for text in asked if "trial_params.param_name = " in text]


def test_a_missing_driver_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(StudyError, match=r"driver pymysql: pip install 'nas-compact\[mysql\]'"):
        open_database("mysql://nas@127.0.0.1/nas")


@pytest.fixture(params=["postgres", "mariadb"])
def server(request):
    return request.getfixturevalue(request.param)


class TestServers:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"database": "gone"}, "database [\"']gone[\"']"),
            ({"password": "wrong"}, "password authentication failed|Access denied for user 'nas'"),
            ({"port": 1}, "Connection refused"),
        ],
    )
    def test_a_server_that_refuses_is_one_line(self, server, change, message):
        with pytest.raises(StudyError, match=rf"nas:\*\*\*@127.*({message})") as refused:
            open_database(server.url(**change))
        assert "\n" not in str(refused.value)

    @pytest.fixture
    def spare(self, tmp_path):
        return tmp_path / "unwritten.db"

    def test_nothing_is_lost_when_the_server_dies_and_the_process_too(self, server, spare):
        storage, notes = server.create("dies"), []
        searching = study(Record(storage, spare=spare, note=notes.append))
        play(searching, 2)
        server.kill()
        try:
            told = play(searching, 3)  # and no more is heard of this process
            assert len(notes) == 1
            assert "nas:***@127" in notes[0]
            assert "fails" in notes[0]
            with pytest.raises(StudyError, match="Connection refused"):
                Record(storage, spare=spare)
        finally:
            server.start()
        assert numbers(storage) == [0, 1]
        again = study(Record(storage, existing=True, spare=spare))
        assert again.frame()["digest"].tolist() == told
        assert numbers(storage) == [0, 1, 2, 3, 4]
        assert not spare.exists()

    def test_a_server_that_comes_back_gets_all(self, server, spare, monkeypatch):
        monkeypatch.setattr("nas.record._RETRY_S", 0.0)
        storage, notes = server.create("returns"), []
        searching = study(Record(storage, spare=spare, note=notes.append))
        play(searching, 1)
        server.kill()
        try:
            play(searching, 2)
            assert spare.exists()
        finally:
            server.start()
        play(searching, 1)
        assert numbers(storage) == [0, 1, 2, 3]
        assert not spare.exists()
        assert ["has every finished candidate" in note for note in notes] == [False, True]

    def test_what_is_told_again_while_the_server_is_down_counts(self, server, spare):
        storage = server.create("again")
        searching = study(Record(storage, spare=spare))
        candidate = searching.ask()
        searching.tell(candidate, "paused", {"accuracy": 0.1})
        server.kill()
        try:
            searching.tell(candidate, "complete", {"accuracy": 0.2})
        finally:
            server.start()
        again = study(Record(storage, existing=True, spare=spare))
        assert again.frame()[["state", "accuracy"]].values.tolist() == [["complete", 0.2]]
        assert numbers(storage) == [0, 0]
        assert not spare.exists()

    def test_a_write_that_was_cut_off_is_not_made_twice(self, server, spare, monkeypatch):
        storage = server.create("doubt")
        kept = Record(storage, spare=spare)
        searching = study(kept)
        add = kept._table.add

        def cut_off(trial):
            add(trial)
            raise KeyboardInterrupt

        monkeypatch.setattr(kept._table, "add", cut_off)
        with pytest.raises(KeyboardInterrupt):
            play(searching, 1)
        monkeypatch.undo()
        searching.flush()
        play(searching, 1)
        assert numbers(storage) == [0, 1]
