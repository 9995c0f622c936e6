"""Every Prometheus metric, in one registry of this app. Labels come from closed sets only.

docs/metrics.md explains each one; tests/test_docs.py compares the two.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from app.images.cost.usage import Usage
from app.telemetry.event import Outcome, RequestEvent
from app.telemetry.prometheus_families import CounterFamily, Histogram, LiveGauge
from app.telemetry.shared_counters import SharedCounters

PREFIX = "zenmux_gateway"
OTHER = "other"
PROVIDER = "zenmux"

# OpenTelemetry's recommended buckets, and larger ones: images take minutes.
_DURATION_BUCKETS = (0.01, 0.04, 0.16, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 120, 180, 300, 600)
_OVERHEAD_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5)
_PER_TOKEN_BUCKETS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
_QUERY_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15)  # the database ends one after 5 seconds; it may wait as long
_TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
_UNTIMED = (Outcome.REJECTED, Outcome.REFUSED)
_DELIVERED = (Outcome.COMPLETED, Outcome.CLIENT_LEFT)
# OpenTelemetry's labels, and those of Envoy AI Gateway, whose dashboard shows them.
_GEN_AI = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_original_model",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
_OPERATION_NAMES = {"generation": "image_generation", "edit": "image_edit"}


class Metrics:
    """The metrics of one app. `users_max` bounds the users with their own series; later ones are `other`.

    Counts are in `shared_counters` and are summed over all workers that share them.
    """

    def __init__(self, version: str, users_max: int, shared_counters: SharedCounters | None = None) -> None:
        self.registry = CollectorRegistry()
        self._shared_counters = shared_counters or SharedCounters()
        self._users: set[str] = set()
        self._users_max = users_max
        by_model = ("operation", "model")
        self._requests = self._counter("requests", "Image requests, by how they ended.", *by_model, "outcome")
        self._duration = self._histogram(
            "request_duration_seconds", "From arrival to end.", _DURATION_BUCKETS, *by_model
        )
        self._first_byte = self._histogram(
            "time_to_first_byte_seconds", "From arrival to the answer's first byte.", _DURATION_BUCKETS, *by_model
        )
        self._overhead = self._histogram(
            "overhead_seconds", "From arrival to the first byte sent to ZenMux.", _OVERHEAD_BUCKETS, *by_model
        )
        self._tokens = self._counter("tokens", "Tokens charged.", *by_model, "direction", "modality")
        self._images = self._counter("images", "Images charged.", *by_model)
        self._cost = self._counter("cost_usd", "Money charged, in US dollars.", *by_model)
        self._user_tokens = self._counter("user_tokens", "Tokens charged, by user.", "user", "direction")
        self._input_images = self._counter("input_images", "Images sent in with edits.", *by_model)
        self._received_bytes = self._counter("received_bytes", "Bytes of images sent in with edits.", *by_model)
        self._user_images = self._counter("user_images", "Images charged, by user.", "user")
        self._user_cost = self._counter("user_cost_usd", "Money charged, by user.", "user")
        self._refusals = self._counter("refusals", "Requests refused before anything was bought.", "reason")
        self._replays = self._counter("replays", "Requests answered with what others bought.", "kind")
        self.logins = self._counter("logins", "Tries to sign in to the console, by how they ended.", "method", "result")
        queries = self._histogram(
            "console_query_seconds", "Reads for the console and the admin API, with their wait.", _QUERY_BUCKETS
        )
        self.time_query = queries.labels().observe
        self._shadow = self._counter("shadow_refusals", "Requests a shadow limit would have refused.", "scope", "unit")
        self._usage_missing = self._counter("usage_missing", "Answers settled at the estimate.", *by_model)
        self._implausible = self._counter("usage_implausible", "Reported usage that was not believed.", *by_model)
        self._unpriced = self._counter("unpriced", "Answers of models without a price.", *by_model)
        by_account = ("kind", "account")
        self._upstream_errors = self._counter("upstream_errors", "Failures of ZenMux or the way to it.", *by_account)
        self.account_up = self._gauge("account_up", "Whether requests go to this ZenMux account.", "account")
        self.account_rests = self._counter("account_rests", "Times an account was taken out.", "account", "why")
        self._corrections = self._counter("corrections", "Settlements after their reservation had expired.", "charged")
        self._limits_passed = self._counter("limits_passed", "Limits passed by a correction.", "scope", "unit")
        self._jobs = self._live("jobs", "Jobs: those running now, and those that ended since the start.", "state")
        self.in_flight = self._live("in_flight_requests", "Image requests being served now.").labels()
        self._connection_faults = self._counter("connection_faults", "Connections refused or ended.", "kind")
        self.connections = self._live("connections", "Connections of callers.").labels()
        self._live("workers", "Processes that serve.").labels().set(1)
        self.reservations_pending = self._gauge("reservations_pending", "Reservations not yet resolved.")
        self.files_bytes = self._gauge("files_bytes", "Bytes of all files that are kept for a time.")
        self.log_lines_dropped = self._counter("log_lines_dropped", "Log lines that could not be written.").labels()
        self._waiting = self._live("settlements_waiting", "Settlements the database has not taken for a while.", "kept")
        limit = ("scope", "name", "unit", "window", "model", "shadow")
        self.quota_used_ratio = self._gauge("quota_used_ratio", "Used and pending share of a limit.", *limit)
        event = ("scope", "unit", "window", "percent", "shadow")
        self.threshold_events = self._counter("threshold_events", "Limits whose use crossed a percentage.", *event)
        self.webhooks = self._counter("webhooks", "Tries to tell the webhook, by how they ended.", "result")
        self.reconciliation_drift_usd = self._gauge(
            "reconciliation_drift_usd", "Charged for that day, less what ZenMux billed.", "model", "account"
        )
        self.reconciliation_day = self._gauge(
            "reconciliation_day_timestamp_seconds", "Beginning of the youngest day compared with ZenMux's bill; else 0."
        )
        self._gauge("build_info", "This build.", "version").labels(version).set(1)
        self._make_config_gauges()
        self._make_gen_ai_histograms()

    def _make_gen_ai_histograms(self) -> None:
        self._gen_ai_tokens = self._gen_ai(
            "client_token_usage", "Tokens of a request", _TOKEN_BUCKETS, "gen_ai_token_type"
        )
        self._gen_ai_duration = self._gen_ai(
            "server_request_duration_seconds", "Duration of a request", _DURATION_BUCKETS, "error_type"
        )
        self._gen_ai_first_token = self._gen_ai(
            "server_time_to_first_token_seconds", "Until an answer's first byte", _DURATION_BUCKETS
        )
        self._gen_ai_per_token = self._gen_ai(
            "server_time_per_output_token_seconds", "From a stream's first byte to its end", _PER_TOKEN_BUCKETS
        )

    def _make_config_gauges(self) -> None:
        self._config_info = self._gauge("config_info", "The configuration in use.", "hash")
        self._reload_successful = self._gauge(
            "config_last_reload_successful", "Whether the last try to read the configuration again succeeded."
        )
        self._reload_success_timestamp = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration in use was read."
        )

    def record(self, event: RequestEvent) -> None:
        """Counts one ended image request. Call it once per event."""
        if event.refusal is not None:
            self._refusals.labels(event.refusal).inc()
        if event.operation is None:
            return
        where = (event.operation, event.model)
        self._requests.of[event.operation, event.model, event.outcome.value].inc()
        self._record_times(event, where)
        if event.input_images:
            self._input_images.of[where].inc(event.input_images)
            self._received_bytes.of[where].inc(event.received_bytes)
        for written in event.shadow_refusals:
            scope, _, unit = written.partition(" ")[0].partition("/")  # as `user/images images:5/day`
            self._shadow.labels(scope, unit).inc()
        for left in event.left_accounts:
            self._upstream_errors.labels(*left).inc()
        if event.upstream_error is not None:
            self._upstream_errors.labels(event.upstream_error, event.account or OTHER).inc()
        if event.state == "settled":
            self._record_charge(event, where)

    def count_connection_fault(self, kind: str) -> None:
        """Counts one fault. `kind` is one of app/server/http/bounds.py."""
        self._connection_faults.labels(kind).inc()

    def show_jobs(self, state: str, count: int) -> None:
        """How many jobs of this process are in a state."""
        self._jobs.labels(state).set(count)

    def count_replay(self, kind: str) -> None:
        """Counts a request that was not bought because it was made before. `kind` is one of app/exchange/replay."""
        self._replays.labels(kind).inc()

    def show_waiting(self, on_disk: int, in_memory_only: int) -> None:
        """Shows how many settlements wait for the database."""
        self._waiting.labels("disk").set(on_disk)
        self._waiting.labels("memory").set(in_memory_only)

    def show_configuration(self, config_hash: str, *, is_newest: bool, read_at: float) -> None:
        """Shows which configuration is in use. `is_newest`: the last try to read a newer one did not fail. `read_at`
        is in seconds since 1970.
        """
        self._config_info.clear()
        self._config_info.labels(config_hash).set(1)
        self._reload_successful.set(is_newest)
        self._reload_success_timestamp.set(read_at)

    def count_correction(self, delta_nanousd: int, passed: Iterable[tuple[str, str]]) -> None:
        """Counts a settlement that came after its reservation had expired. `passed`: scope and unit of the limits that
        it raised above their amount.
        """
        self._corrections.labels("more" if delta_nanousd > 0 else "less" if delta_nanousd < 0 else "equal").inc()
        for scope, unit in passed:
            self._limits_passed.labels(scope, unit).inc()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def exposition_with_traces(self) -> bytes | None:
        """All metrics in OpenMetrics, whose durations point to traces; None if there are none to point to."""
        if not self._duration.has_exemplars:
            return None
        text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # it has no types
        return text

    def _record_times(self, event: RequestEvent, where: tuple[str, str]) -> None:
        overhead = event.seconds_until(event.dispatched_at)
        if overhead is not None:
            self._overhead.of[where].observe(overhead)
        duration = event.seconds_until(event.ended_at)
        if duration is None or event.outcome in _UNTIMED:
            return
        self._duration.of[where].observe(duration)
        if event.trace_id is not None:
            self._duration.note_trace(where, duration, event.trace_id)
        gen_ai = _gen_ai_values(where)
        error_type = "" if event.outcome in _DELIVERED else event.outcome.value
        self._gen_ai_duration.of[*gen_ai, error_type].observe(duration)
        first_byte = event.seconds_until(event.first_byte_at)
        if first_byte is not None:
            self._first_byte.of[where].observe(first_byte)
            self._gen_ai_first_token.of[gen_ai].observe(first_byte)
            if event.stream and event.usage is not None and event.usage.output_tokens > 1:
                self._gen_ai_per_token.of[gen_ai].observe((duration - first_byte) / (event.usage.output_tokens - 1))

    def _record_charge(self, event: RequestEvent, where: tuple[str, str]) -> None:
        user = self._user(event.user)
        self._images.of[where].inc(event.images)
        self._user_images.of[user,].inc(event.images)
        if event.cost_nanousd is not None:
            self._cost.of[where].inc(event.cost_nanousd / 1e9)
            self._user_cost.of[user,].inc(event.cost_nanousd / 1e9)
        if event.unpriced:
            self._unpriced.of[where].inc()
        if event.usage_implausible is not None:
            self._implausible.of[where].inc()
        if event.usage_source == "estimated":
            self._usage_missing.of[where].inc()
        if event.usage is not None:
            self._record_tokens(event.usage, where, user)

    def _record_tokens(self, usage: Usage, where: tuple[str, str], user: str) -> None:
        operation, model = where
        tokens = self._tokens.of
        tokens[operation, model, "input", "text"].inc(usage.input_text_tokens)
        tokens[operation, model, "input", "image"].inc(usage.input_image_tokens)
        tokens[operation, model, "output", "text"].inc(usage.output_text_tokens)
        tokens[operation, model, "output", "image"].inc(usage.output_image_tokens)
        gen_ai = _gen_ai_values(where)
        for direction, count in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self._user_tokens.of[user, direction].inc(count)
            self._gen_ai_tokens.of[*gen_ai, direction].observe(count)

    def _user(self, name: str | None) -> str:
        if name is None:
            return OTHER
        if name not in self._users:
            if not self._shared_counters.admit("users", name, self._users_max):
                return OTHER
            self._users.add(name)
        return name

    def _counter(self, name: str, text: str, *labels: str) -> CounterFamily:
        counter = CounterFamily(self._shared_counters, f"{PREFIX}_{name}", text, labels)
        self.registry.register(counter)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """A value that each worker determines when it is asked: never summed."""
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _live(self, name: str, text: str, *labels: str) -> LiveGauge:
        """A value of each worker: summed over the living ones."""
        gauge = LiveGauge(self._shared_counters, f"{PREFIX}_{name}", text, labels)
        self.registry.register(gauge)
        return gauge

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        return self._foreign_histogram(f"{PREFIX}_{name}", text, bounds, *labels)

    def _gen_ai(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        """A histogram whose name OpenTelemetry defines."""
        return self._foreign_histogram(
            f"gen_ai_{name}", f"{text}, in OpenTelemetry's words.", bounds, *_GEN_AI, *labels
        )

    def _foreign_histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        histogram = Histogram(self._shared_counters, name, text, labels, bounds=bounds)
        self.registry.register(histogram)
        return histogram


def _gen_ai_values(where: tuple[str, str]) -> tuple[str, ...]:
    """The values of _GEN_AI. An answer does not say which model made it: the one that was asked for."""
    operation, model = where
    return (_OPERATION_NAMES.get(operation, OTHER), PROVIDER, model, model, model)
