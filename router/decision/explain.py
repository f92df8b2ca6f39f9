"""A decision as JSON: what the command line prints and the dry-run endpoint answers."""

from __future__ import annotations

from typing import Any

from classifier.model import Assessment
from classifier.tasks import FAMILIES, TYPES
from router.values import Decision


def as_json(assessment: Assessment, decision: Decision) -> dict[str, Any]:
    """Return the documented JSON of a decision."""
    p_family = assessment.p_family
    return {
        "task": {
            "family": assessment.family,
            "type": assessment.task,
            "p_family": round(float(p_family.max()), 4),
            "p_type": round(assessment.confidence, 4),
            "families": _shares(FAMILIES, p_family),
            "types": _shares(TYPES, assessment.p_type),
        },
        "difficulty": {
            "level": assessment.level,
            "p": [round(float(p), 4) for p in assessment.p_level],
            "expected": round(assessment.expected_level, 4),
        },
        "decision": {
            "model": decision.unit.model,
            "effort": decision.unit.effort,
            "fallbacks": [str(unit) for unit in decision.fallbacks],
            "expected_quality": _number(decision.expected_quality),
            "evidence": decision.evidence.value if decision.evidence else None,
            "expected_cost_usd": _number(decision.expected_cost_usd),
            "cost_of": _spent_on(decision),
            "successor": str(decision.successor) if decision.successor else None,
            "adequate": decision.adequate,
            "move": decision.move.value,
            "why": decision.why,
            "excluded": dict(decision.excluded),
        },
        "moved": assessment.declared,
        "ask": assessment.ask,
    }


def _shares(names: tuple[str, ...], p: Any) -> dict[str, float]:
    return {name: round(float(x), 4) for name, x in zip(names, p, strict=True)}


def _spent_on(decision: Decision) -> str | None:
    """Say what the expected cost is of; None where none is told."""
    if decision.expected_cost_usd is None:
        return None
    return "request and rest of task" if decision.input_tokens else "ordinary task"


def _number(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
