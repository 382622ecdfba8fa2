from dataclasses import asdict

from evaluators.ledger import drain, receive
from nas.spent import Account


def test_what_workers_did_not_report_was_idle():
    drain()
    receive({"training": 60.0, "waiting": 12.0})
    account = Account(beside={"sampling": 7.0}).later(seconds=50.0, workers=2)
    assert account.workers == {"training": 60.0, "waiting": 12.0, "idle": 28.0}
    assert str(account) == (
        "1:40 of the workers: training 60%, waiting 12%, idle 28%; beside them sampling 0:07"
    )


def test_sittings_add_up():
    drain()
    first = Account().later(seconds=10.0, workers=1)
    receive({"training": 4.0})
    both = Account.of_run({"spent": asdict(first)}).later(seconds=10.0, workers=2)
    assert both.workers == {"idle": 26.0, "training": 4.0}


def test_runs_that_have_none_are_told_so():
    assert str(Account.of_run({})) == "no time was spent"
