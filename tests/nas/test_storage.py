import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.config import SearchConfig
from nas.storage import StudyError, database_url, located, masked, with_password


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("postgresql//nas:s3cret@host/nas", "is no URL of a database: expected postgresql://USER"),
        ("postgresql://nas:s3cret@host:port/nas", "is no URL of a database"),
        ("redis://nas:s3cret@host", "names the unknown database 'redis'"),
        ("postgresql://host/nas?user=nas&password=s3cret", "has a password after the `.`"),
        ("sqlite://", "must name a file"),
    ],
)
def test_faulty_urls_are_refused_and_never_repeated(storage, message):
    with pytest.raises(StudyError, match=message) as refused:
        database_url(storage)
    assert "s3cret" not in str(refused.value)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=4))
def test_passwords_are_masked_whatever_they_are(password):
    url = database_url("postgresql://nas@host/runs").set(password=password)
    text = url.render_as_string(hide_password=False)
    assert masked(text) == "postgresql+psycopg://nas:***@host/runs"
    assert database_url(located(text)).password == password


def test_a_configuration_shows_no_password():
    config = SearchConfig(storage="mysql://nas:s3cret@host/runs")
    assert config.to_plain()["storage"] == "mysql+pymysql://nas:***@host/runs"
    assert "s3cret" not in repr(config)
    assert database_url(config.located().storage).password == "s3cret"


def test_a_file_is_found_from_another_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located("sqlite:///study.db") == f"sqlite:///{tmp_path}/study.db"


class TestPasswordOnResume:
    kept = masked("postgresql://nas:s3cret@host/runs")

    def test_it_is_asked_for(self, monkeypatch):
        monkeypatch.delenv("NAS_STORAGE", raising=False)
        with pytest.raises(StudyError, match=r"nas:\*\*\*@host/runs is not kept: give --storage"):
            with_password(self.kept, None)

    def test_it_comes_from_the_environment_or_the_flag(self, monkeypatch):
        monkeypatch.setenv("NAS_STORAGE", "postgresql://nas:other@host/runs")
        assert database_url(with_password(self.kept, None)).password == "other"
        flag = "postgresql://nas:s3cret@elsewhere/runs"
        assert database_url(with_password(self.kept, flag)).host == "elsewhere"

    def test_a_url_without_one_is_enough(self, monkeypatch):
        monkeypatch.delenv("NAS_STORAGE", raising=False)
        assert with_password("postgresql://nas@host/runs", None) == "postgresql://nas@host/runs"
