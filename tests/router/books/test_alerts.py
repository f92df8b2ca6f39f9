"""An alert begins once and ends once, for any number of processes."""

from __future__ import annotations

import json
from threading import Thread

import pytest

from router.books.alerts import (
    LEAST,
    QUIET_S,
    Alert,
    AlertFacts,
    Tally,
    Topic,
    Webhook,
    alerts_of,
    claim,
    payload,
    signed,
)
from router.books.record import End, Record
from router.callers.meters import Charge, Counter, Meter, MeterReading, Period, Resource
from router.storage.database import file_url, open_database
from router.values import Interface
from tests.services import postgres_server

HOOK = Webhook(url="http://localhost/hook")
NOTHING = AlertFacts((), 0, 0, {})
DOWN = Alert("provider:b", "b fails")


def reading(spent, limit=100.0, window=1, period=Period.MONTH):
    charge = Charge("team:core", Meter(Resource.USD, period, limit))
    return MeterReading(charge, Counter(window, spent), spent, False, 60.0)


def ids(hook=HOOK, **facts):
    return [alert.id for alert in alerts_of(hook, NOTHING._replace(**facts))]


def test_a_budget_is_told_of_at_its_share_and_when_it_is_spent():
    assert ids(budgets=[reading(79.9)]) == []
    assert ids(budgets=[reading(80)]) == ["budget:team:core:usd:month:1:0.8"]
    assert ids(budgets=[reading(100)]) == [
        "budget:team:core:usd:month:1:0.8",
        "budget:team:core:usd:month:1:1",
    ]
    [warns, stops] = alerts_of(HOOK, NOTHING._replace(budgets=[reading(101)]))
    assert warns.text == "team:core has spent 80% of its budget of this month: $101.00 of $100.00"
    assert stops.text.endswith("$101.00 of $100.00; what costs something is refused")


def test_another_period_is_another_alert():
    assert ids(budgets=[reading(90, window=1)]) != ids(budgets=[reading(90, window=2)])


def test_rates_and_budgets_of_nothing_are_no_budgets():
    assert ids(budgets=[reading(99, period=Period.MINUTE), reading(0, limit=0)]) == []


def test_errors_are_told_of_from_a_share_of_enough_requests():
    assert ids(requests=LEAST - 1, failed=LEAST - 1) == []
    assert ids(requests=LEAST, failed=1) == []
    assert ids(requests=LEAST, failed=2) == ["errors:300:0.1"]


def test_a_provider_is_told_of_when_it_failed_long_enough_and_once():
    circuits = {("b", f"m{i}"): 60.0 for i in range(7)} | {("c", "m"): 59.0}
    [alert] = alerts_of(HOOK, NOTHING._replace(open_s=circuits))
    assert alert.id == "provider:b"
    assert "m4 and 2 more" in alert.text


def test_a_webhook_is_told_what_it_is_on():
    facts = {"budgets": [reading(80)], "requests": 100, "failed": 50, "open_s": {("b", "m"): 99.0}}
    for topic in Topic:
        hook = Webhook(url=HOOK.url, on=frozenset({topic}))
        assert [id_.partition(":")[0] for id_ in ids(hook, **facts)] == [topic.value]


def record(at_s, end):
    return Record("1", end, 200, None, Interface.CHAT, 1.0, at_s=at_s)


def test_a_window_slides():
    tally = Tally()
    for at_s, end in ((1000, End.FAILED), (1200, End.SERVED), (1290, End.FAILED), (1290, End.LEFT)):
        tally.tell(record(at_s, end))
    assert tally.over(300, 1290) == (4, 2)
    assert tally.over(60, 1290) == (2, 1)
    assert tally.over(300, 1700) == (0, 0)


def test_a_day_of_requests_takes_no_more_room_than_the_longest_window():
    tally = Tally()
    for at_s in range(0, 86_400, 5):
        tally.tell(record(at_s, End.SERVED))
    assert len(tally._steps) < 400


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        engine = open_database(file_url(tmp_path / "books.db"))
        yield engine
        engine.dispose()
        return
    with postgres_server() as service:
        engine = open_database(service.url)
        yield engine
        engine.dispose()


def told(database, found, now_s, topics=frozenset(Topic)):
    changed = claim(database, HOOK.name, found, topics, now_s)
    return [a.id for a in changed.begun], [a.id for a in changed.ended]


def test_it_begins_once_and_ends_once_nobody_sees_it(database):
    assert told(database, [DOWN], 0.0) == (["provider:b"], [])
    assert told(database, [DOWN], 1.0) == ([], [])
    assert told(database, [], QUIET_S) == ([], [])
    assert told(database, [DOWN], QUIET_S + 1) == ([], [])
    assert told(database, [], 2 * QUIET_S + 0.5) == ([], [])
    assert told(database, [], 2 * QUIET_S + 2, {Topic.BUDGET}) == ([], [])
    assert told(database, [], 2 * QUIET_S + 2) == ([], ["provider:b"])
    assert told(database, [], 2 * QUIET_S + 3) == ([], [])
    assert told(database, [DOWN], 2 * QUIET_S + 4) == (["provider:b"], [])


def test_what_is_still_seen_after_a_long_stop_has_not_ended(database):
    assert told(database, [DOWN], 0.0) == (["provider:b"], [])
    assert told(database, [DOWN], 1e6) == ([], [])


def test_of_many_at_once_one_tells(database):
    found = [Alert(f"provider:{i}", "") for i in range(5)]

    def all_told(alerts, now_s):
        results = []
        threads = [
            Thread(target=lambda: results.append(told(database, alerts, now_s))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    begun = [id_ for begun, _ in all_told(found, 0.0) for id_ in begun]
    ended = [id_ for _, ended in all_told([], QUIET_S * 2) for id_ in ended]
    assert sorted(begun) == sorted(ended) == [alert.id for alert in found]


def test_two_webhooks_are_each_told(database):
    assert told(database, [DOWN], 0.0) == (["provider:b"], [])
    other = claim(database, "another", [DOWN], frozenset(Topic), 0.0)
    assert other.begun == [DOWN]


def test_what_is_sent_shows_in_a_chat_and_is_plain():
    found = payload(DOWN, ended=True, at_s=0.0)
    assert found["text"] == "Over: b fails"
    assert (found["topic"], found["state"]) == ("provider", "ended")
    assert json.loads(json.dumps(found)) == found


def test_a_signature_is_what_others_compute():
    """RFC 4231's second case."""
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert signed(b"what do ya want for nothing?", "Jefe") == f"sha256={expected}"
