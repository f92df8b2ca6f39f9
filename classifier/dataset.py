"""Where labelled requests were read until 0.1; scripts that import it from here go on until 0.3."""

from __future__ import annotations

from classifier.training.dataset import read_jsonl as read_jsonl
