"""Makes the oracle importable (`import reference`), here and for the property tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
