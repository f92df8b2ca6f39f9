"""What is counted is what the records said, in a bounded number of series whoever asks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from router import __version__
from router.books.metrics import FAMILIES, MOST, MOST_BUDGETS, OTHER, Metrics, Vitals
from router.books.record import End, Record
from router.callers.meters import Charge, Counter, Meter, MeterReading, Period, Resource
from router.values import Failure, Fault, Interface, Support, Unit, Usage

MODELS = {"openai/gpt-5.5", "z-ai/glm-5"}
TIER = "kilo-auto/efficient"


def served(**more):
    given = {
        "decision_id": "1",
        "end": End.SERVED,
        "status": 200,
        "error": None,
        "interface": Interface.CHAT,
        "total_s": 3.0,
        "first_s": 0.3,
        "decided_s": 0.003,
        "tier": TIER,
        "evidence": Support.RELATED,
        "unit": Unit("openai/gpt-5.5", "low"),
        "provider": "openai",
        "usage": Usage(100, 20, cached_tokens=80, reasoning_tokens=5),
        "usd": 0.01,
        "frontier_usd": 0.04,
        "balanced_usd": 0.004,
    }
    return Record(**(given | more))


def metrics():
    return Metrics(
        models=MODELS.__contains__, providers={"openai", "b"}.__contains__, tiers=TIER.__eq__
    )


def samples(found):
    """Return name and labels → value of all that is exposed."""
    families = text_string_to_metric_families(found.exposed("")[0].decode())
    return {
        (sample.name.removeprefix("auto_efficient_"), *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(found, name, **labels):
    return samples(found)[(name, *sorted(labels.items()))]


def test_a_record_is_counted_once_in_all_that_it_says():
    found = metrics()
    failure = Failure(Unit("z-ai/glm-5"), "b", 429, "status 429", fault=Fault.MOMENT)
    for _ in range(2):
        found.tell(served(failures=(failure,)))
    model = {"model": "openai/gpt-5.5"}
    assert of(found, "requests_total", end="served", tier=TIER, interface="chat") == 2
    assert of(found, "tokens_total", kind="cached", **model) == 160
    assert of(found, "tokens_total", kind="reasoning", **model) == 10
    assert of(found, "cost_usd_total", provider="openai", **model) == 0.02
    assert of(found, "saved_usd_total", baseline="frontier") == 0.06
    assert of(found, "overspent_usd_total", baseline="balanced") == 0.012
    assert of(found, "evidence_total", kind="related") == 2
    assert of(found, "fallbacks_total", model="z-ai/glm-5", provider="b", fault="moment") == 2
    assert of(found, "request_seconds_bucket", tier=TIER, le="2.0") == 0
    assert of(found, "request_seconds_bucket", tier=TIER, le="4.0") == 2
    assert of(found, "first_byte_seconds_sum", tier=TIER) == 0.6
    assert of(found, "decide_seconds_count") == 2


def test_what_was_refused_early_has_an_end_and_no_times():
    found = metrics()
    found.tell(Record("1", End.REFUSED, 401, "unauthenticated", Interface.MESSAGES, 0.001))
    assert of(found, "requests_total", end="refused", tier="none", interface="messages") == 1
    assert not [key for key in samples(found) if key[0].startswith("request_seconds")]


names = st.text(min_size=1, max_size=30)
hostile = st.builds(
    served,
    unit=st.builds(Unit, names, names),
    provider=names,
    tier=names,
    mode=names,
    agent=names,
    caller=names,
    asked_model=names,
    failures=st.lists(
        st.builds(
            Failure,
            st.builds(Unit, names),
            names,
            st.just(500),
            names,
            fault=st.sampled_from(Fault),
        ),
        max_size=3,
    ).map(tuple),
)


@given(st.lists(hostile, max_size=40))
def test_what_clients_call_things_makes_no_series(records):
    found = metrics()
    for fault in Fault:
        failure = Failure(Unit("x"), "y", 500, "", fault=fault)
        found.tell(served(unit=Unit("x"), provider="y", tier="x", failures=(failure,)))
    before = set(samples(found))
    for record in records:
        found.tell(record)
    assert set(samples(found)) == before


def test_thousands_of_names_are_one_series():
    found = metrics()
    for i in range(5000):
        found.tell(served(unit=Unit(f"x/{i}"), tier=f"t{i}", provider=f"p{i}"))
    assert of(found, "tokens_total", kind="input", model=OTHER) == 500_000
    assert len([key for key in samples(found) if key[0] == "cost_usd_total"]) == 1


def test_a_catalogue_of_any_size_makes_a_bounded_number_of_series():
    found = Metrics(models=bool, providers=bool, tiers=bool)
    for i in range(2 * MOST):
        found.tell(served(unit=Unit(f"x/{i}")))
    assert len([key for key in samples(found) if key[0] == "cost_usd_total"]) == MOST + 1


def reading(account, spent, limit=10.0, period=Period.MONTH, resource=Resource.USD):
    charge = Charge(account, Meter(resource, period, limit))
    return MeterReading(charge, Counter(1, spent), spent, False, 60.0)


def test_budgets_are_told_one_by_one_and_beyond_a_number_in_all():
    found = metrics()
    readings = [reading(f"key:{i}", 4.0) for i in range(MOST_BUDGETS + 3)]
    found.look(Vitals(budgets=[*readings, reading("org", 5, resource=Resource.TOKENS)]))
    assert of(found, "budget_left_usd", account="key:0", period="month") == 6.0
    assert of(found, "budget_left_usd", account=OTHER, period="month") == 18.0
    assert len([k for k in samples(found) if k[0] == "budget_left_usd"]) == MOST_BUDGETS + 1


def test_how_it_is_now_goes_when_it_is_over():
    found = metrics()
    found.look(Vitals(circuits=[("b", "z-ai/glm-5")], waiting=7, lost=3, lost_lines=2, table="v1"))
    assert of(found, "breaker_open", provider="b", model="z-ai/glm-5") == 1
    assert of(found, "ledger_waiting_rows") == 7
    assert of(found, "table_info", version="v1") == 1
    assert of(found, "build_info", version=__version__) == 1
    found.look(Vitals(lost=4, lost_lines=2))
    assert ("breaker_open", ("model", "z-ai/glm-5"), ("provider", "b")) not in samples(found)
    assert of(found, "ledger_waiting_rows") == 0
    assert of(found, "ledger_lost_rows_total") == 4
    assert of(found, "log_lost_lines_total") == 2


def test_names_follow_the_conventions():
    for family in FAMILIES:
        name = family.name
        assert name == name.lower()
        assert name.endswith("_total") == (family.kind.__name__ == "Counter")
        assert "_ms" not in name
