"""The stand-in ZenMux of the chaos test, in a process of its own: images of a few pixels, a bill without end.

`python -m tests.chaos.provider PORT` serves until it is killed. CATALOG is what gateway and stand-in agree upon.
"""

import sys

from app.images.catalog.catalog import load_catalog
from app.sandbox.options import SandboxOptions
from app.sandbox.server import run

MODELS = ("openai/gpt-image-2", "openai/gpt-image-2.5-flare")

# The models as they are, but for sizes that nobody sells: an image of 64 x 64 is drawn in 5 ms of one core.
CATALOG = "".join(
    f'[models."{model.removeprefix("openai/")}".sizes]\n'
    'rule = "bounds"\nmultiple_of = 16\nedge_max = 3840\nratio_max = 3\npixels_min = 256\npixels_max = 8294400\n'
    for model in MODELS
)

if __name__ == "__main__":
    options = SandboxOptions(catalog=load_catalog(CATALOG, "the chaos test's catalog"), bill_rows_max=10_000_000)
    run(port=int(sys.argv[1]), options=options)
