"""What may be said of the studies in words: the least flattering number first, with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.docs.pages import Block, Sources, interval
from benchmarks.sessions.policies import CONTESTS
from benchmarks.sessions.study import BEST


def proof(sources: Sources) -> str:
    """Say what ships does on the pool of the README's figure."""
    return _balanced(sources)


def honest(sources: Sources) -> str:
    """Say what every study shows, and what it does not."""
    said = (_whole_catalogue, _routellm, _reading, _quality_stop, _sessions, _balanced, _promises)
    return "\n".join(f"* {say(sources)}" for say in said)


def _balanced(sources: Sources) -> str:
    found = sources.result("agents-nine-models")
    ours = _measures(found, "ours: balanced")
    over = ours["over_hull"]
    apart = "better by" if over["low"] > 0 else "not told apart from it:"
    return (
        f"On {found['n_items']} agent tasks with {len(found['models'])} models, what ships keeps at "
        f"`balanced` {_share(ours, 'quality_share')} of the best single model's quality for "
        f"{_share(ours, 'cost_share')} of its cost. Against a mix of single models of the same cost "
        f"it is {apart} {over['value'] * 100:+.1f} points "
        f"[{over['low'] * 100:+.1f}, {over['high'] * 100:+.1f}]."
    )


def _whole_catalogue(sources: Sources) -> str:
    found = sources.result("agents-whole-catalogue")
    ours, cheapest = _measures(found, "ours: balanced"), _measures(found, "always cheapest")
    return (
        f"On {found['n_items']} agent tasks with {len(found['models'])} models, always taking the cheapest keeps "
        f"{_share(cheapest, 'quality_share')} for {_share(cheapest, 'cost_share')}, what ships "
        f"{_share(ours, 'quality_share')} for {_share(ours, 'cost_share')}. A pool with one cheap and "
        "good model leaves a router little to do."
    )


def _quality_stop(sources: Sources) -> str:
    ours = _measures(sources.result("agents-nine-models"), "ours: quality")
    return (
        f"The stop `quality` keeps {_share(ours, 'quality_share')} of the best single model of nine on agent tasks for "
        f"{_share(ours, 'cost_share')} of its cost."
    )


def _routellm(sources: Sources) -> str:
    found = sources.result("routellm")
    shipped, refitted, length = (
        interval(_measures(found, name)["apgr"])
        for name in ("ours", "ours, refitted", "prompt length")
    )
    return (
        f"On {found['n_items']:,} questions of 2023 and two models (RouteLLM), what ships has an APGR of {shipped}; the length of the prompt "
        f"alone has {length}. With levels refitted on that pool ours has {refitted}."
    )


def _promises(sources: Sources) -> str:
    found = sources.result("promise")
    broken = [
        f"{pool['name']} " + ", ".join(str(stop["broken"]) for stop in pool["stops"])
        for pool in found["pools"]
    ]
    missed = sum(not floor["met"] for floor in found["floors"])
    return (
        "The dial's promise (not worse by more than the margin, on average) was broken at its three stops, of "
        f"{len(found['pools'][0]['seeds'])} splits: {'; '.join(broken)}. Of {len(found['floors'])} things that are "
        f"demanded of the rule {missed} are missed (benchmarks/results/promise.md)."
    )


def _reading(sources: Sources) -> str:
    scores = sources.card()["scores"]
    return (
        f"Task types are read with a macro-F1 of {scores['left_out_corpus']['type_f1']:.2f} in asks of "
        f"writers left out, and of {scores['left_out_public']['type_f1']:.2f} in public sources left out. "
        f"Difficulty orders the former (ρ {scores['left_out_corpus']['level_spearman']:.2f}) and hardly "
        f"the latter ({scores['left_out_public']['level_spearman']:.2f})."
    )


def _sessions(sources: Sources) -> str:
    savings = sources.result("sessions")["savings"]
    seeing, blind, alike = (_saved(savings, contest) for contest in CONTESTS)
    return (
        f"In simulated sessions, on the half of the items that no constant of switching was chosen on, ours saves {seeing} at `balanced` against the best "
        f"rival, whose settings are mixed in hindsight. Where it sees no failures it saves {blind}, and {alike} "
        "where its rivals see none either. How often a failure is seen is assumed, not measured."
    )


def _saved(savings: list[Mapping[str, Any]], contest: str) -> str:
    found = [
        s["by"]
        for s in savings
        if (s["contest"], s["rival"], s["dial"]) == (contest, BEST, "balanced")
    ]
    values = [by["value"] for by in found]
    gains, losses = sum(by["low"] > 0 for by in found), sum(by["high"] < 0 for by in found)
    surely = f"of {len(found)} kinds surely a gain in {gains}, a loss in {losses}"
    return f"{min(values):.0%} to {max(values):.0%} ({surely})"


def _measures(found: Mapping[str, Any], policy: str) -> Mapping[str, Any]:
    """Return a policy's measures in a study."""
    measures: Mapping[str, Any] = next(
        s["measures"] for s in found["standings"] if s["policy"] == policy
    )
    return measures


def _share(measures: Mapping[str, Any], name: str) -> str:
    return interval(measures[name], ".1%")


BLOCKS: Final[dict[str, Block]] = {"proof": proof, "honest": honest}
