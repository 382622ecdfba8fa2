from nas.seldom import Seldom


def test_a_call_that_takes_longer_comes_less_often():
    time, calls = [0.0], []

    def work():
        calls.append(time[0])
        time[0] += 1e-3 * len(calls)  # each call takes longer than the one before

    seldom = Seldom(work, share=0.1, now=lambda: time[0])
    spent = 0.0
    for _ in range(10_000):
        before = len(calls)
        seldom()
        spent += 1e-3 * len(calls) * (len(calls) - before)
        time[0] += 1e-3
    assert calls[0] == 0.0
    assert 10 < len(calls) < 100
    assert spent < 0.11 * time[0]
