"""`python -m app` in a process that may open FEW_DESCRIPTORS files, half of them at first:
`python -m tests.e2e.few_descriptors serve`.
"""

import os
import resource
import runpy

if __name__ == "__main__":
    few = int(os.environ["FEW_DESCRIPTORS"])
    resource.setrlimit(resource.RLIMIT_NOFILE, (few // 2, few))
    runpy.run_module("app", run_name="__main__")
