"""The names that spans and their attributes have.

Those of OpenTelemetry's conventions for generative AI, all of them still in development, are from
open-telemetry/semantic-conventions-genai at 024a4f944a1291fcb627c9c47da69e79868dd15e. They have no operation for
images: `image_generation` is what other gateways write.
"""

OPERATION_NAMES = {"generation": "image_generation", "edit": "image_edit"}

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
OUTPUT_TYPE = "gen_ai.output.type"
CHOICES = "gen_ai.request.choice.count"
STREAM = "gen_ai.request.stream"
FIRST_CHUNK_SECONDS = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
INPUT_TEXT_TOKENS = "gen_ai.usage.text.input_tokens"
INPUT_IMAGE_TOKENS = "gen_ai.usage.image.input_tokens"
OUTPUT_TEXT_TOKENS = "gen_ai.usage.text.output_tokens"
OUTPUT_IMAGE_TOKENS = "gen_ai.usage.image.output_tokens"

# Stable names, of the general conventions.
ERROR_TYPE = "error.type"
HTTP_METHOD = "http.request.method"
HTTP_STATUS = "http.response.status_code"
HTTP_ROUTE = "http.route"
URL_PATH = "url.path"
URL_SCHEME = "url.scheme"
SERVER_ADDRESS = "server.address"

USER_ID = "user.id"  # of the general conventions too, and still in development

# Ours.
REQUEST_ID = "zenmux_gateway.request_id"
KEY_ID = "zenmux_gateway.key_id"
TEAM = "zenmux_gateway.team"
SIZE = "zenmux_gateway.size"
QUALITY = "zenmux_gateway.quality"
OUTCOME = "zenmux_gateway.outcome"
HELD_NANOUSD = "zenmux_gateway.held_nanousd"
CHARGED_NANOUSD = "zenmux_gateway.charged_nanousd"
CHARGED_IMAGES = "zenmux_gateway.charged_images"
USAGE_SOURCE = "zenmux_gateway.usage_source"
UPSTREAM_REQUEST_ID = "zenmux_gateway.upstream_request_id"
