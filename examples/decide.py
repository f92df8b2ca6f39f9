"""Decide for one request, without a server and without calling a model: five lines.

Run ``python -m examples.decide``.
"""

from auto_efficient import DIALS, Engine, from_text

engine = Engine.load()
request = from_text("why does the nightly export time out since we moved to the new cluster?")
assessment, decision = engine.decide(request, dial=DIALS["economy"])
print(assessment.task, f"level {assessment.expected_level:.1f}, then", decision.unit)
print(decision.why)
