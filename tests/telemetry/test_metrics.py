"""What an event counts as: each metric, closed label sets, the cap on users."""

from prometheus_client import CollectorRegistry

from app.images.cost.usage import Usage
from app.telemetry.event import Outcome, RequestEvent
from app.telemetry.metrics import Metrics

USAGE = Usage(input_text_tokens=10, input_image_tokens=5, output_text_tokens=2, output_image_tokens=196)
WHERE = {"operation": "generation", "model": "gpt-image-2"}


def settled(**fields: object) -> RequestEvent:
    event = RequestEvent("req_1", "/v1/images/generations", started_at=100.0)
    event.operation, event.model, event.outcome = "generation", "gpt-image-2", Outcome.COMPLETED
    event.state, event.usage_source, event.usage = "settled", "reported", USAGE
    event.images, event.cost_nanousd, event.user = 1, 6_030_000, "alice"
    event.dispatched_at, event.first_byte_at, event.ended_at = 100.5, 107.0, 110.0
    for name, value in fields.items():
        setattr(event, name, value)
    return event


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_settled_request_is_counted_in_every_unit() -> None:
    metrics = Metrics("1.2.3", users_max=10)
    metrics.record(settled())
    registry = metrics.registry
    assert value(registry, "zenmux_gateway_requests_total", **WHERE, outcome="completed") == 1
    assert value(registry, "zenmux_gateway_images_total", **WHERE) == 1
    assert value(registry, "zenmux_gateway_cost_usd_total", **WHERE) == 0.00603
    for direction, modality, count in (
        ("input", "text", 10),
        ("input", "image", 5),
        ("output", "text", 2),
        ("output", "image", 196),
    ):
        labels = {**WHERE, "direction": direction, "modality": modality}
        assert value(registry, "zenmux_gateway_tokens_total", **labels) == count
    assert value(registry, "zenmux_gateway_user_images_total", user="alice") == 1
    assert value(registry, "zenmux_gateway_user_tokens_total", user="alice", direction="output") == 198
    assert value(registry, "zenmux_gateway_request_duration_seconds_sum", **WHERE) == 10.0
    assert value(registry, "zenmux_gateway_time_to_first_byte_seconds_sum", **WHERE) == 7.0
    assert value(registry, "zenmux_gateway_overhead_seconds_sum", **WHERE) == 0.5
    assert value(registry, "zenmux_gateway_build_info", version="1.2.3") == 1
    gen_ai = {
        "gen_ai_operation_name": "image_generation",
        "gen_ai_provider_name": "zenmux",
        "gen_ai_original_model": "gpt-image-2",
        "gen_ai_request_model": "gpt-image-2",
        "gen_ai_response_model": "gpt-image-2",
    }
    assert value(registry, "gen_ai_client_token_usage_sum", **gen_ai, gen_ai_token_type="output") == 198
    assert value(registry, "gen_ai_server_request_duration_seconds_count", **gen_ai, error_type="") == 1


def test_a_stream_is_timed_by_its_tokens_and_a_failure_has_a_type() -> None:
    metrics = Metrics("1", users_max=10)
    metrics.record(settled(stream=True))
    metrics.record(settled(outcome=Outcome.UPSTREAM_FAILED))
    gen_ai = {f"gen_ai_{which}_model": "gpt-image-2" for which in ("original", "request", "response")}
    gen_ai |= {"gen_ai_operation_name": "image_generation", "gen_ai_provider_name": "zenmux"}
    name = "gen_ai_server_time_per_output_token_seconds"
    assert value(metrics.registry, f"{name}_sum", **gen_ai) == (10.0 - 7.0) / 197
    assert value(metrics.registry, f"{name}_count", **gen_ai) == 1
    assert value(metrics.registry, "gen_ai_server_time_to_first_token_seconds_sum", **gen_ai) == 14.0
    name = "gen_ai_server_request_duration_seconds_count"
    assert value(metrics.registry, name, **gen_ai, error_type="upstream_failed") == 1


def test_an_estimate_and_a_missing_price_are_visible() -> None:
    metrics = Metrics("1", users_max=10)
    metrics.record(settled(usage_source="estimated", unpriced=True))
    assert value(metrics.registry, "zenmux_gateway_usage_missing_total", **WHERE) == 1
    assert value(metrics.registry, "zenmux_gateway_unpriced_total", **WHERE) == 1


def test_a_released_request_costs_nothing() -> None:
    metrics = Metrics("1", users_max=10)
    metrics.record(settled(state="released", outcome=Outcome.UPSTREAM_REFUSED, upstream_error="moderation"))
    assert value(metrics.registry, "zenmux_gateway_cost_usd_total", **WHERE) is None
    assert value(metrics.registry, "zenmux_gateway_upstream_errors_total", kind="moderation", account="other") == 1


def test_a_refusal_is_counted_by_reason_and_does_not_shift_the_durations() -> None:
    metrics = Metrics("1", users_max=10)
    metrics.record(settled(state=None, outcome=Outcome.REFUSED, refusal="insufficient_quota"))
    assert value(metrics.registry, "zenmux_gateway_refusals_total", reason="insufficient_quota") == 1
    assert value(metrics.registry, "zenmux_gateway_request_duration_seconds_count", **WHERE) is None


def test_users_beyond_the_cap_share_one_series() -> None:
    metrics = Metrics("1", users_max=1)
    for user in ("alice", "bob", "carol", "alice"):
        metrics.record(settled(user=user))
    assert value(metrics.registry, "zenmux_gateway_user_images_total", user="alice") == 2
    assert value(metrics.registry, "zenmux_gateway_user_images_total", user="other") == 2
    assert value(metrics.registry, "zenmux_gateway_user_images_total", user="bob") is None


def test_no_series_tells_when_it_was_created() -> None:
    metrics = Metrics("1", users_max=10)
    metrics.record(settled())
    assert b"_created" not in metrics.exposition()
