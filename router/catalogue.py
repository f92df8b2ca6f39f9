"""Where the catalogue was read until 0.1; scripts that import it from here go on until 0.3."""

from __future__ import annotations

from router.evidence.catalogue import CATALOGUE_FILE as CATALOGUE_FILE
from router.evidence.catalogue import MODELS_DIR as MODELS_DIR
from router.evidence.catalogue import Catalogue as Catalogue
from router.evidence.catalogue import load_catalogue as load_catalogue
