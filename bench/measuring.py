"""One run: put a load on a contender, read what it cost, and say how quiet the machine was meanwhile."""

import os
import time
from dataclasses import dataclass
from statistics import median

from bench.contenders import Running
from bench.figures import Rest, percentile
from bench.judging import Case
from bench.processes import (
    cpu_seconds,
    forget_peak_rss,
    kernel_tcp_bytes,
    machine_busy,
    peak_rss_bytes,
    rss_bytes,
    tree,
)
from bench.rig import Answers, Job, Rig
from bench.scenarios import SMALL_MANY, START, Scenario

_PROBE_SECONDS = 0.15
_WARM_UP_SECONDS = 0.25
_SETTLE_SECONDS = 0.05  # what a contender does after an answer's last byte belongs to the answer
_IDLE_SECONDS = 1.0
_MB = 1e6


@dataclass(frozen=True)
class Cost:
    """What a contender's processes used during a load, the memory they had before it, and what the rig used."""

    cpu_seconds: float
    base_rss_bytes: int
    peak_rss_bytes: int
    kernel_tcp_bytes: int
    rig_cpu_seconds: float


class Measuring:
    """Measures on one rig. Remembers how fast the rig alone has been, to notice when it no longer is."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._direct = Running(rig.port)
        self._probes: list[float] = []
        self._probe()

    def measure(
        self, running: Running, scenario: Scenario, case: Case, seconds: float
    ) -> tuple[dict[str, float], Rest, str]:
        """The figures of one run, how quiet it was, and what was wrong with its answers, if anything was."""
        job = Job(
            request=running.encoded(case.request),
            connections=scenario.connections,
            seconds=scenario.seconds or seconds,
            each=scenario.each,
            rate=scenario.rate,
            first_event_bytes=scenario.first_event_bytes,
            payload_bytes=case.verdict.payload_bytes,
            users=running.users,
        )
        before, ours, busy, began = self._probes[-1], _ours(), machine_busy(), time.perf_counter()
        if scenario.name == START.name:
            figures, wrong = _at_rest(running), ""
        else:
            answers, cost = self._put_load(running, job, warm=not scenario.is_fresh)
            wrong = f"{answers.bad} wrong answers: {answers.first_bad}" if answers.bad else ""
            figures = figures_of(answers, cost, scenario)
        took, now = time.perf_counter() - began, machine_busy()
        rest = Rest(
            foreign_cores=max(0.0, now.work - busy.work - (_ours() - ours)) / took,
            stolen_cores=(now.stolen - busy.stolen) / took,
            rig_before=before / median(self._probes),
            rig_after=self._probe() / median(self._probes),
        )
        return ({} if wrong else figures), rest, wrong

    def _put_load(self, running: Running, job: Job, *, warm: bool) -> tuple[Answers, Cost]:
        if warm:
            self._rig.put_load(running.port, Job(job.request, job.connections, _WARM_UP_SECONDS))
        members = tree(running.process.pid) if running.process else []
        forget_peak_rss(members)
        base, tcp_base, cpu = rss_bytes(members), kernel_tcp_bytes(), cpu_seconds(members)
        upstream = tree(self._rig.upstream.pid)
        rig_cpu = cpu_seconds(upstream)
        tcp = [tcp_base]
        answers = self._rig.put_load(running.port, job, lambda: tcp.append(kernel_tcp_bytes()))
        time.sleep(_SETTLE_SECONDS)
        cost = Cost(
            cpu_seconds=cpu_seconds(members) - cpu,
            base_rss_bytes=base,
            peak_rss_bytes=peak_rss_bytes(members),
            kernel_tcp_bytes=max(tcp) - tcp_base,
            rig_cpu_seconds=cpu_seconds(upstream) - rig_cpu + answers.cpu_seconds,
        )
        return answers, cost

    def _probe(self) -> float:
        """How many small answers a second the rig alone gives just now."""
        job = Job(self._direct.encoded(SMALL_MANY.request(self._direct.model)), SMALL_MANY.connections, _PROBE_SECONDS)
        answers = self._rig.put_load(self._rig.port, job)
        self._probes.append(answers.good / answers.seconds)
        return self._probes[-1]


def figures_of(answers: Answers, cost: Cost, scenario: Scenario) -> dict[str, float]:
    """All figures of a load, by name. Bytes of both directions count. Direct has no figures of CPU and memory."""
    moved_bytes = answers.payload_bytes + answers.good * scenario.upload_bytes
    figures = {
        "requests_per_second": answers.good / answers.seconds,
        "mb_per_second": moved_bytes / _MB / answers.seconds,
        "latency_p50_ms": percentile(answers.latency_ms, 0.50),
        "latency_p99_ms": percentile(answers.latency_ms, 0.99),
        "first_byte_p50_ms": percentile(answers.first_byte_ms, 0.50),
        "first_byte_p99_ms": percentile(answers.first_byte_ms, 0.99),
        "answered": float(answers.good),
        "begun": float(answers.begun),
        "kernel_tcp_mb": cost.kernel_tcp_bytes / _MB,
        "rig_cores": cost.rig_cpu_seconds / answers.seconds,
    }
    if scenario.stream:
        figures["first_event_p50_ms"] = percentile(answers.first_event_ms, 0.50)
        figures["first_event_p99_ms"] = percentile(answers.first_event_ms, 0.99)
        figures["after_silence_p50_ms"] = percentile(answers.after_silence_ms, 0.50)
    if scenario.waits:
        figures["over_seconds"] = answers.seconds - scenario.waits
    if cost.base_rss_bytes:
        figures |= {
            "base_rss_mb": cost.base_rss_bytes / _MB,
            "peak_rss_mb": cost.peak_rss_bytes / _MB,
            "growth_mb": (cost.peak_rss_bytes - cost.base_rss_bytes) / _MB,
            "cores": cost.cpu_seconds / answers.seconds,
        }
        if answers.good and not scenario.rate:
            figures["cpu_ms_per_request"] = cost.cpu_seconds / answers.good * 1e3
            figures["cpu_s_per_gb"] = cost.cpu_seconds / moved_bytes * 1e9
    return figures


def _at_rest(running: Running) -> dict[str, float]:
    """The start, and the memory after the first answer."""
    if running.process is None:
        return {}
    time.sleep(_IDLE_SECONDS)
    members = tree(running.process.pid)
    return {"start_seconds": running.start_seconds, "idle_rss_mb": rss_bytes(members) / _MB}


def _ours() -> float:
    """CPU seconds so far of this process and all it started."""
    return cpu_seconds(tree(os.getpid()))
