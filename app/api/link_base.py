"""Whether a request that is to be answered with links can be, and what those begin with."""

from dataclasses import replace

from starlette.requests import HTTPConnection

from app.api.services import services_of
from app.errors import InvalidRequest
from app.files.links import base_url
from app.images.request.compatibility import B64_JSON, URL
from app.images.request.normalize import ImageRequest


def with_link_base(connection: HTTPConnection, request: ImageRequest) -> ImageRequest:
    """The request, with what its links begin with; with base64 instead where links cannot be given and it did not ask
    for them. Raises InvalidRequest or FilesUnavailable where it did.
    """
    if request.response_format != URL:
        return request
    services = services_of(connection)
    settings, port = services.settings, connection.scope["server"][1]
    base = base_url(settings.public_url, settings.host, port)
    if base is not None and services.files.is_shared:
        return replace(request, link_base=base)
    if not request.is_format_chosen:
        return replace(request, response_format=B64_JSON)
    services.files.require_shared()
    raise InvalidRequest(
        "This gateway cannot make links to images: it does not know the address under which callers reach it. Leave "
        "'response_format' out and read 'b64_json', or have GATEWAY_PUBLIC_URL set.",
        param="response_format",
        code="unsupported_value",
    )
