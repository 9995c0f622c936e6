"""Which settings a reload takes over, and which need a restart. Pure."""

from app.settings.settings import Settings, setting_name

RELOADED = frozenset(
    {
        "account_order",
        "admin_key",
        "bootstrap_file",
        "catalog_file",
        "default_model",
        "default_response_format",
        "metrics_key",
        "successor_model",
        "thresholds_percent",
        "unknown_model_hold_usd",
        "unknown_models",
        "usage_shows_gateway",
        "webhook_secret",
        "webhook_url",
        "zenmux_api_key",
        "zenmux_api_keys",
        "zenmux_management_key",
        "zenmux_management_keys",
    }
)
"""The fields whose new values are used after a reload."""


def reloaded(running: Settings, found: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The running settings with what a reload takes from `found`; and the names, as people write them, of the other
    settings that differ: these need a restart.
    """
    fields = type(running).model_fields
    differing = [field for field in fields if getattr(running, field) != getattr(found, field)]
    taken = {field: getattr(found, field) for field in differing if field in RELOADED}
    left = sorted(setting_name(field) for field in differing if field not in RELOADED)
    running = running.model_copy(update=taken)
    return running.with_file_accounts(found.file_accounts).with_sign_in(found.sign_in), tuple(left)
