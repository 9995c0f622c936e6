"""Is a contender's answer right? Asked once before anything is measured: what answers wrongly is not timed."""

import http.client
import json
from dataclasses import dataclass
from typing import Any

from bench.contenders import Contender, Running, stored_bytes
from bench.processes import BenchError
from bench.requests import Request
from bench.scenarios import Scenario


@dataclass(frozen=True)
class Verdict:
    """How an answer compares with the upstream's own.

    `payload_bytes` is what every answer must have; 0 where nothing can be said. `refusal` is why it cannot be measured,
    empty when it can. `note` says what was changed on the way, empty when not one byte was.
    """

    payload_bytes: int = 0
    refusal: str = ""
    note: str = ""


@dataclass(frozen=True)
class Case:
    """What a contender is asked again and again, and how its first answer was."""

    request: Request
    verdict: Verdict = Verdict()


def judge(direct: Running, contender: Contender, running: Running, scenario: Scenario) -> Case:
    """Ask the upstream itself and the contender, and compare what they say."""
    _, expected = direct.ask(scenario.request(direct.model))
    asked = scenario.request(running.model)
    try:
        asked = contender.asked(running, scenario)
        status, got = running.ask(asked)
    except BenchError as error:
        return Case(asked, Verdict(refusal=str(error)))
    except (OSError, http.client.HTTPException) as error:
        return Case(asked, Verdict(refusal=f"broke off: {error!r}"))
    if status != http.HTTPStatus.OK:
        return Case(asked, Verdict(refusal=f"answers HTTP {status}"))
    if not scenario.stored:
        return Case(asked, compare(expected, got, scenario.stream))
    wanted = stored_bytes(scenario, expected)
    is_right = got == wanted
    return Case(asked, Verdict(len(wanted)) if is_right else Verdict(refusal="does not answer what was stored"))


def compare(expected: bytes, got: bytes, stream: bool) -> Verdict:  # noqa: FBT001 - one fact about both
    """The verdict on `got`: the same bytes, the same images and usage in other bytes, or wrong."""
    if got == expected:
        return Verdict(payload_bytes=len(got))
    try:
        wanted, told = (_events(body) if stream else [json.loads(body)] for body in (expected, got))
    except ValueError:
        return Verdict(refusal="answers what is not JSON")
    if len(wanted) != len(told) or any(_images(one) != _images(other) for one, other in zip(wanted, told, strict=True)):
        return Verdict(refusal="does not answer the images")
    lost = sorted({name for one, other in zip(wanted, told, strict=True) for name in one.keys() - other.keys()})
    return Verdict(note=f"re-encoded, without {', '.join(lost)}" if lost else "re-encoded")


def _events(body: bytes) -> list[dict[str, Any]]:
    found = [json.loads(line[5:]) for line in body.splitlines() if line.startswith(b"data:")]
    if not found:
        raise ValueError("no event")
    return found


def _images(document: dict[str, Any]) -> list[str]:
    if "b64_json" in document:
        return [document["b64_json"]]
    return [entry.get("b64_json", "") for entry in document.get("data", [])]
