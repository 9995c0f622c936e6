"""What is kept in files, for how long, and under which address links to it lead here."""

from pydantic import BaseModel, Field

from app.settings.values import BucketUrl, PublicUrl, ResponseFormat


class FileSettings(BaseModel):
    """What is kept in files, for how long, and under which address links to it lead here."""

    public_url: PublicUrl | None = Field(
        None, description="Where callers reach the gateway, for links to images; unset: GATEWAY_HOST and GATEWAY_PORT."
    )
    default_response_format: ResponseFormat = Field(
        ResponseFormat.AUTO,
        description="For requests that name none: b64_json, url, or auto (url for dall-e names, as those answered).",
    )
    files_seconds: int = Field(3600, ge=60, le=604_800, description="How long an image can be fetched by its link.")
    job_seconds: int = Field(86_400, ge=60, le=2_592_000, description="How long a job and its answer are kept.")
    user_jobs_max: int = Field(
        1000, ge=1, le=100_000, description="Most jobs that are kept of each user; the oldest that ended go first."
    )
    files_bytes_max: int = Field(
        2_147_483_648,
        ge=1_000_000,
        le=100_000_000_000_000,
        description="Most bytes of all files that are kept for a time; the oldest go first.",
    )
    files_url: BucketUrl | None = Field(
        None, description="s3://bucket/prefix where files are kept; unset: the folder GATEWAY_DATA_DIR/files."
    )
