"""One request's life: who may ask, what is charged, and that leaving early changes nothing about it."""

import socket
import threading
from typing import Any

import httpx2
import pytest

from tests.sandbox.support import KEY, Client, events_of, image_of


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-goog-api-key"])
def test_three_headers_carry_the_key(client: Client, header: str) -> None:
    value = f"Bearer {KEY}" if header == "Authorization" else KEY
    answer = httpx2.post(
        client.server.url + "/images/generations",
        headers={header: value},
        json={"model": "openai/gpt-image-2", "prompt": "A fox", "quality": "low"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("key", ["-", "sk-ai-v1-", "sk-mg-v1-test", "sk-ss-v1-test", "test", "Bearer sk-ai-v1-test"])
def test_any_other_key_is_refused_before_the_body_is_read(client: Client, key: str) -> None:
    answer = httpx2.post(
        client.server.url + "/images/generations", headers={"Authorization": f"Bearer {key}"}, content=b"not json"
    )
    request_id = answer.headers["x-zenmux-requestid"]
    assert answer.status_code == 403
    assert answer.json()["error"] == {
        "code": "403",
        "type": "access_denied",
        "message": f"You have no permission to access this resource (request_id: {request_id}, api_key_source: payg)",
    }
    assert client.rows() == []


def test_a_missing_key_is_refused_alike(client: Client) -> None:
    assert httpx2.post(client.server.url + "/images/generations", json={}).status_code == 403


@pytest.mark.parametrize(
    ("output_format", "fields"),
    [("png", {}), ("jpeg", {"output_compression": 60}), ("webp", {"output_compression": 60})],
)
def test_images_are_what_was_asked_for(client: Client, output_format: str, fields: dict[str, Any]) -> None:
    answer = client.draw(size="1152x768", output_format=output_format, n=2, **fields)
    document = answer.json()
    images = [image_of(item) for item in document["data"]]
    assert [(p.format, p.size, p.mode) for p in images] == [(output_format.upper(), (1152, 768), "RGB")] * 2
    assert images[0].tobytes() != images[1].tobytes()
    assert (document["size"], document["output_format"], document["quality"]) == ("1152x768", output_format, "low")
    assert document["created"] == 1_795_521_600  # the clock that was passed in


def test_transparent_images_arrive_with_alpha(client: Client) -> None:
    document = client.draw(model="gpt-image-2.5-flare", background="transparent").json()
    assert document["background"] == "transparent"
    assert image_of(document["data"][0]).getchannel("A").getextrema() == (0, 255)


def test_streams_bring_partials_and_the_completed_image(client: Client) -> None:
    answer = client.draw(stream=True, partial_images=2)
    assert answer.headers["content-type"] == "text/event-stream"
    events = events_of(answer.content)
    assert [name for name, _ in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert len({image_of(data).tobytes() for _, data in events}) == 3
    assert events[-1][1]["usage"]["output_tokens"] == 196 + 2 * 100
    assert client.charged()["output_tokens"] == 196 + 2 * 100


@pytest.mark.parametrize(
    ("directive", "status", "kind"),
    [
        ("status=400", 400, "invalid_params"),
        ("status=402 type=quote_exceeded", 402, "quote_exceeded"),
        ("status=403 type=safety_check_failed", 403, "safety_check_failed"),
        ("status=404 type=model_not_available", 404, "model_not_available"),
        ("status=413", 413, "invalid_params"),
        ("status=422", 422, "provider_unprocessable_entity_error"),
        ("status=429", 429, "rate_limit"),
        ("status=500 type=provider_error", 500, "provider_error"),
        ("status=502", 502, "no_provider_available"),
        ("status=503", 503, "provider_api_error"),
        ("moderation", 400, "image_generation_user_error"),
        ("moderation=azure", 400, "invalid_request_error"),
    ],
)
def test_refusals_cost_nothing(client: Client, directive: str, status: int, kind: str) -> None:
    answer = client.draw(f"A fox [sandbox: {directive}]")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert client.rows() == []


@pytest.mark.parametrize("status", [504, 520, 524])
def test_where_only_the_way_back_failed_the_image_is_charged(client: Client, status: int) -> None:
    assert client.draw(f"A fox [sandbox: status={status}]").status_code == status
    assert client.charged()["output_tokens"] == 196


@pytest.mark.parametrize(("directive", "status"), [("garbage", 200), ("html", 502), ("html=524", 524), ("empty", 200)])
def test_answers_that_are_none(client: Client, directive: str, status: int) -> None:
    answer = client.draw(f"A fox [sandbox: {directive}]")
    assert answer.status_code == status
    with pytest.raises(ValueError):  # noqa: PT011 - of bytes, of JSON, of nothing: each its own
        answer.json()
    assert client.charged()["output_tokens"] == 196


def test_a_page_of_something_that_refused_on_the_way_is_not_charged(client: Client) -> None:
    assert client.draw("A fox [sandbox: html=403]").status_code == 403
    assert client.rows() == []


def test_retry_after_is_sent_on_request_only(client: Client) -> None:
    assert "retry-after" not in client.draw("A fox [sandbox: status=429]").headers
    assert client.draw("A fox [sandbox: status=429 retry-after=7]").headers["retry-after"] == "7"


def test_reported_excess_is_charged(client: Client) -> None:
    usage = client.draw("A fox [sandbox: usage=100x]").json()["usage"]
    assert usage["output_tokens"] == 19_600
    row = client.charged()
    assert (row["input_tokens"], row["output_tokens"]) == (usage["input_tokens"], 19_600)


def test_usage_that_is_not_reported_is_charged_by_the_formula(client: Client) -> None:
    assert "usage" not in client.draw("A fox [sandbox: no-usage]").json()
    assert client.charged()["output_tokens"] == 196


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_before_the_answer_is_charged(client: Client, stream: bool) -> None:
    connection = client.send("A fox [sandbox: delay=300ms]", stream=stream)
    connection.close()
    row = client.charged(lambda row: bool(row["client_left"]))
    assert row["output_tokens"] == 196


def test_a_client_that_leaves_in_mid_stream_is_charged(client: Client) -> None:
    with client.send("A fox [sandbox: gap=2s]", stream=True, partial_images=3) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    assert client.charged(lambda row: bool(row["client_left"]))["output_tokens"] == 196 + 300


def test_a_client_that_leaves_a_long_body_is_charged(client: Client) -> None:
    with client.send("A fox [sandbox: body=30MB]") as connection:
        connection.recv(1000)
    assert client.charged(lambda row: bool(row["client_left"]))["output_tokens"] == 196


def test_a_request_that_does_not_arrive_whole_is_not_performed(client: Client) -> None:
    url = httpx2.URL(client.server.url)
    with socket.create_connection((url.host, url.port or 0)) as connection:
        head = f"POST {url.path}/images/generations HTTP/1.1\r\nHost: x\r\nx-api-key: {KEY}\r\n"
        connection.sendall(head.encode() + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{")
    client.draw("A fox")  # answered behind it
    assert len(client.rows()) == 1


def test_many_at_once_are_each_charged_once(client: Client) -> None:
    answers: list[httpx2.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(client.draw("A fox"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row["request_id"] for row in client.rows()) == sorted(
        answer.headers["x-zenmux-requestid"] for answer in answers
    )
    assert {answer.status_code for answer in answers} == {200}


def test_a_misspelt_directive_is_told_and_costs_nothing(client: Client) -> None:
    answer = client.draw("A fox [sandbox: statsu=429]")
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_params"
    assert "'statsu'" in answer.json()["error"]["message"]
    assert client.rows() == []
