from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.contenders import Contender, Direct, Gateway, clean_environment
from bench.nginx import Nginx
from bench.peers import LiteLLM, Portkey
from bench.scenarios import MANY, SLOW, SLOW_BOUNDED


def test_who_is_measured_hears_nothing_of_a_gateway_somebody_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "GATEWAY_PORT": "1",
        "ZENMUX_API_KEY": "sk-ai-v1-x",
        "OTEL_SERVICE_NAME": "x",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for name, value in ({"KEPT": "yes"} | foreign).items():
        monkeypatch.setenv(name, value)
    environment: Mapping[str, str] = clean_environment()
    assert environment["KEPT"] == "yes"
    assert not foreign.keys() & environment.keys()


@pytest.mark.parametrize(
    ("contender", "has_settings"),
    [(Direct(), True), (Gateway(), True), (Nginx(), False), (LiteLLM(Path()), False), (Portkey(Path()), False)],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_setting_of_the_gateway_is_measured_on_the_gateway_and_the_rig(
    contender: Contender,
    has_settings: bool,
) -> None:
    assert contender.takes_part_in(SLOW)
    assert contender.takes_part_in(SLOW_BOUNDED) == has_settings


def test_peers_are_not_asked_for_thousands_at_a_time() -> None:
    assert [one.takes_part_in(MANY) for one in (Direct(), Nginx(), Gateway(), LiteLLM(Path()), Portkey(Path()))] == [
        True, True, True, False, False,
    ]  # fmt: skip
