"""Whose certificates are trusted."""

import ssl
from pathlib import Path

import pytest

from app.errors import ConfigurationError
from app.settings.settings import Settings
from app.upstream.wire.certificates import tls_context, trusted


def test_a_context_checks_names_and_takes_no_cut_answer_for_whole() -> None:
    context = tls_context(Path(__file__).parents[1] / "localhost.pem")
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_a_file_without_certificates_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=r"GATEWAY_UPSTREAM_CA_FILE.*ca\.pem"):
        trusted(Settings.model_validate({"upstream_ca_file": file}))
