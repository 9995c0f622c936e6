"""`python -m app`, in a process that may open few files: `python -m tests.server.few_descriptors serve`."""

import resource
import runpy

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))
    runpy.run_module("app", run_name="__main__")
