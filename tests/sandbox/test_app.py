"""The doors beside the images: models, bill, cost; and what every answer carries."""

import json
from decimal import Decimal

import httpx2
import pytest

from app.images.catalog.catalog import load_catalog
from app.images.cost.usage import Usage
from app.sandbox.answers.bill import Bill, Row
from app.sandbox.app import _bill_json, create_sandbox
from app.sandbox.options import SandboxOptions
from app.sandbox.server import SandboxServer
from tests.sandbox.support import NOON, Client


def test_models_are_listed_as_zenmux_does_and_need_no_key(client: Client) -> None:
    answer = httpx2.get(client.server.url + "/models")
    listed = answer.json()
    assert (answer.status_code, listed["object"]) == (200, "list")
    assert [model["id"] for model in listed["data"]] == [spec.id for spec in load_catalog().models]
    model = listed["data"][0]
    assert {"id", "object", "display_name", "created", "owned_by", "input_modalities", "output_modalities",
            "capabilities", "context_length", "pricings"} == set(model)  # fmt: skip
    assert (model["id"], model["output_modalities"]) == ("openai/gpt-image-2", ["image"])
    assert model["pricings"]["prompt"] == [{"value": 5.0, "unit": "perMTokens", "currency": "USD"}]


def test_models_sold_by_the_image_say_so(client: Client) -> None:
    catalog = load_catalog(
        '[models."qwen-image"]\nlike = "gpt-image-2"\nid = "qwen/qwen-image"\ncreated = 2026-01-01\n'
        'tokens = { rule = "flat", per_image = 0 }\nprices = { per_image = "0.0289" }\n'
    )
    with SandboxServer(options=SandboxOptions(catalog=catalog)) as server:
        models = {model["id"]: model for model in httpx2.get(server.url + "/models").json()["data"]}
        drawn = client.http.post(
            server.url + "/images/generations", json={"model": "qwen-image", "prompt": "A fox", "n": 2}
        )
        bill = httpx2.get(server.bill_url).json()
    price = {"value": 0.0289, "unit": "perCount", "currency": "USD"}
    assert models["qwen/qwen-image"]["pricings"] == {"image": [price]}
    assert drawn.status_code == 200
    assert bill["total_cost_usd"] == "0.057800000"


def test_the_bill_lists_what_was_drawn_under_the_answers_id(client: Client) -> None:
    first, second = client.draw("A fox", n=2), client.draw("A lighthouse", size="1536x1024", quality="high")
    bill = client.bill()
    assert [row["request_id"] for row in bill["generations"]] == [
        answer.headers["x-zenmux-requestid"] for answer in (first, second)
    ]
    row = bill["generations"][0]
    usage = first.json()["usage"]
    assert (row["model"], row["operation"], row["size"], row["quality"], row["n"]) == (
        "openai/gpt-image-2", "generation", "1024x1024", "low", 2,
    )  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"]) == (usage["input_tokens"], usage["output_tokens"])
    # $5 a million text tokens in, $30 a million image tokens out
    assert row["cost_nanousd"] == 5000 * usage["input_tokens"] + 30_000 * usage["output_tokens"]
    assert (row["at"], row["client_left"]) == ("2026-11-24T12:00:00Z", False)
    costs = [Decimal(row["cost_usd"]) for row in bill["generations"]]
    assert Decimal(bill["total_cost_usd"]) == sum(costs)
    assert bill["total_cost_nanousd"] == sum(row["cost_nanousd"] for row in bill["generations"])


def test_the_bill_can_be_emptied(client: Client) -> None:
    client.draw()
    assert client.http.delete(client.server.bill_url).status_code == 204
    assert client.bill() == {
        "generations": [], "count": 0, "dropped": 0, "total_cost_nanousd": 0, "total_cost_usd": "0.000000000",
    }  # fmt: skip


def test_a_long_bill_is_whole() -> None:
    bill = Bill(5000)
    for number in range(1234):
        bill.add(Row(str(number), NOON, "m", "generation", "1x1", "low", 1, False, 0, Usage(), number))
    read = json.loads(b"".join(_bill_json(bill, tuple(bill.rows))))
    assert [row["request_id"] for row in read["generations"]] == [str(number) for number in range(1234)]
    assert read["total_cost_nanousd"] == sum(range(1234))


def cost(client: Client, key: str = "sk-mg-v1-test", **query: str) -> httpx2.Response:
    asked = {"type": "cost", "query_dimension": "BIZ_DT", "query_time": "20261124", **query}
    return httpx2.get(client.server.url + "/management/cost", params=asked, headers={"Authorization": f"Bearer {key}"})


def test_cost_of_a_day_equals_the_bill(client: Client) -> None:
    client.draw("A fox")
    client.draw("A fox", model="gpt-image-1.5")
    data = cost(client).json()["data"]
    assert data["summary"]["totalCost"] == pytest.approx(float(client.bill()["total_cost_usd"]))
    assert [entry["modelSlug"] for entry in data["analysis"]["costByModel"]] == [
        "openai/gpt-image-1.5", "openai/gpt-image-2",
    ]  # fmt: skip
    one = cost(client, model_slugs="openai/gpt-image-2").json()["data"]
    assert one["summary"]["requestCounts"] == 1
    assert cost(client, query_time="20261123").json()["data"]["summary"]["requestCounts"] == 0


def test_cost_needs_a_management_key_and_a_sound_question(client: Client) -> None:
    refused = cost(client, "sk-ai-v1-test")
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "access_denied")
    assert cost(client, "sk-mg-").status_code == 403
    assert cost(client, "sk-mg-v1-other").status_code == 200
    assert cost(client, query_dimension="BIZ_WK").json()["error"]["type"] == "invalid_params"
    assert cost(client, type="usage").json()["error"]["message"] == "Parameter type is required and must be cost"
    assert cost(client, query_time="today").status_code == 400


def test_health(client: Client) -> None:
    origin = client.server.bill_url.removesuffix("/sandbox/bill")
    assert httpx2.get(origin + "/healthz").json()["status"] == "ok"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/models", 200),
        ("GET", "/nothing", 404),
        ("GET", "/images/generations", 405),
        ("POST", "/images/generations", 400),
        ("POST", "/images/variations", 404),
    ],
)
def test_every_answer_has_an_id_and_every_error_the_envelope(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = client.http.request(method, client.server.url + path)
    assert answer.status_code == status
    assert len(answer.headers["x-zenmux-requestid"]) == 32
    if status != 200:
        assert set(answer.json()["error"]) == {"code", "type", "message"}
        assert answer.json()["error"]["code"] == str(status)


async def test_under_another_server_only_what_breaks_connections_is_refused() -> None:
    transport = httpx2.ASGITransport(create_sandbox())
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox/api/v1") as http:
        for directive, status in (("no-usage", 200), ("cut=0.5", 400), ("stall", 400), ("reset", 400)):
            answer = await http.post(
                "/images/generations",
                headers={"x-api-key": "sk-ai-v1-test"},
                json={"model": "gpt-image-2", "prompt": f"A fox [sandbox: {directive}]", "quality": "low"},
            )
            assert answer.status_code == status
