"""The Edge Functions' own units, run by Deno: one test here for each file of tests there."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sauti_local.paths import ROOT
from tests.functions.deno import CONFIGURATION, FUNCTIONS, OFFLINE, PERMISSIONS, deno

HERE = Path(__file__).parent
SOURCES = sorted(FUNCTIONS.glob("*/*.ts")) + sorted(HERE.glob("*.ts")) + sorted((ROOT / "tests" / "local").glob("*.ts"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for dav.example.com, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "dav.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dav.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate.pem", folder / "key.pem"


@pytest.mark.parametrize("path", sorted(HERE.glob("*.test.ts")), ids=lambda path: path.name.removesuffix(".test.ts"))
def test_units_hold_under_deno(path: Path, certificate: tuple[Path, Path]) -> None:
    """Every test of the file passes, types included, with the platform's permissions and no package."""
    certificate_file, key_file = certificate
    deno(
        "test", *PERMISSIONS, "--allow-read", *OFFLINE,
        "--config", CONFIGURATION, "--cert", certificate_file, path,
        TEST_CERTIFICATE=str(certificate_file), TEST_CERTIFICATE_KEY=str(key_file),
    )  # fmt: skip


@pytest.mark.parametrize("index", sorted(FUNCTIONS.glob("*/index.ts")), ids=lambda index: index.parent.name)
def test_each_function_is_typed_and_imports_nothing_from_elsewhere(index: Path) -> None:
    """Deployable as it is: a configuration of its own, and no module from an address."""
    deno("check", "--no-remote", "--no-lock", "--config", index.parent / "deno.json", index)


def test_typescript_is_formatted_and_linted() -> None:
    deno("fmt", "--check", "--config", CONFIGURATION, *SOURCES)
    deno("lint", "--config", CONFIGURATION, *SOURCES)
