"""A certificate of localhost that signs itself, good for a hundred years, and its key; for tests only."""

from __future__ import annotations

from pathlib import Path

CERT = """-----BEGIN CERTIFICATE-----
MIIBqTCCAU+gAwIBAgIUZUXhtPxLjLu0NCaZ5KtIO0ocGvQwCgYIKoZIzj0EAwIw
GzEZMBcGA1UEAwwQQSBoZWFkIG9mIGEgdGVzdDAgFw0yNjExMjcwNDUyNTBaGA8y
MTI2MTEwMzA0NTI1MFowGzEZMBcGA1UEAwwQQSBoZWFkIG9mIGEgdGVzdDBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABKg80IKU7/GjohR6yvhhsSCQXCdHEBYNEqa9
5g036Awna64g4JBRSYIuG+Mn77Uvz/ChFU4mHZBy8CYrNtZTq8OjbzBtMB0GA1Ud
DgQWBBSN9NvdpWoH89yyYVzREZa5jj2ZjDAfBgNVHSMEGDAWgBSN9NvdpWoH89yy
YVzREZa5jj2ZjDAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGCCWxvY2FsaG9z
dIcEfwAAATAKBggqhkjOPQQDAgNIADBFAiEAv44C5WsrFuKTfY6CLHw0xG1wHlGp
yo9Q0dHI7O9tFFECICdbMuKoZl/p9qJTAH01M3mOKsI94socTIJr4uYuguHA
-----END CERTIFICATE-----
"""
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTq+T2LHGpqZhCobD
o2YUiy4BFrwMt5OMSCA8R9phpiWhRANCAASoPNCClO/xo6IUesr4YbEgkFwnRxAW
DRKmveYNN+gMJ2uuIOCQUUmCLhvjJ++1L8/woRVOJh2QcvAmKzbWU6vD
-----END PRIVATE KEY-----
"""


def write_pair(folder: Path) -> tuple[Path, Path]:
    """Write certificate and key, the latter private; return both paths."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_text(CERT)
    key.touch(0o600)
    key.write_text(KEY)
    return cert, key
