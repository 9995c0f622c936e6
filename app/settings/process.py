"""Where the gateway listens, writes and logs."""

from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from app.settings.values import AdminKey, HeaderSecret


class ProcessSettings(BaseModel):
    """Where the gateway listens, writes and logs."""

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every interface.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    workers: int = Field(1, ge=1, le=64, description="Processes behind the one port; more than 1 needs PostgreSQL.")
    data_dir: Path = Field(Path("./data"), description="Everything the gateway writes lies in this folder.")
    database_url: str | None = Field(
        None, description="Where keys, limits and records live; unset: an SQLite file in GATEWAY_DATA_DIR."
    )
    bootstrap_file: Path | None = Field(
        None, description="A gateway.yaml that every start applies: teams, users, keys, limits. Nothing is pruned."
    )
    metrics_key: HeaderSecret | None = Field(None, description="If set, /metrics asks for it as a Bearer token.")
    admin_key: AdminKey | None = Field(
        None, description="Opens the admin API as an admin, as a Bearer token; at least 32 characters, made by chance."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    log_unauthenticated_per_second: int = Field(
        10,
        ge=0,
        le=100_000,
        description="Most requests without a valid key that get a log line each second; one line counts the others.",
    )
    log_format: str = Field("json", pattern="^(json|text)$", description="json for machines, text for people.")

    @field_validator("database_url")
    @classmethod
    def _a_url_has_no_space_around_it(cls, value: str | None) -> str | None:
        return value.strip() if value is not None else None
