"""Seal what must not be read from the database: callers' own provider keys, and the sign-in of a page.

The key that seals is not in the database.  It is ``secret_key`` of the settings or, without one, a file of
32 random bytes beside the database that only its owner may read: whoever has a copy of the database alone
has no key.  Replicas must be given the same ``secret_key``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.fernet import Fernet, InvalidToken

from router.errors import BadArtefact

KEY_FILE: Final = "secret.key"

LENIENT: Final = ("utf-8", "replace")
"""How a text of a client's is encoded, which may hold half a character."""


class Seal:
    """One key, and what is done with it: Fernet (AES-128-CBC with HMAC-SHA256), and HMAC-SHA256."""

    def __init__(self, key: bytes) -> None:
        """Derive what is needed; ``key`` may be any text of 16 bytes or more, raises BadArtefact for less."""
        if len(key) < 16:
            raise BadArtefact(
                "settings: secret_key: it is too short; `openssl rand -hex 32` makes one"
            )
        self._fernet = Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"seal\0" + key).digest()))
        self._signs = hashlib.sha256(b"sign\0" + key).digest()

    def sealed(self, text: str) -> bytes:
        """Encrypt a text."""
        return self._fernet.encrypt(text.encode())

    def opened(self, data: bytes) -> str | None:
        """Decrypt it; None for what another key sealed."""
        try:
            return self._fernet.decrypt(data).decode()
        except InvalidToken:
            return None

    def signed(self, text: str, purpose: str) -> str:
        """Return a text with its signature, which holds for a purpose."""
        return f"{text}.{self._mark(text, purpose)}"

    def verified(self, signed: str, purpose: str) -> str | None:
        """Return a signed text; None for one that this key did not sign for the purpose."""
        text, _, mark = signed.rpartition(".")
        made = self._mark(text, purpose).encode()
        return text if hmac.compare_digest(mark.encode(*LENIENT), made) else None

    def _mark(self, text: str, purpose: str) -> str:
        said = f"{purpose}\0{text}".encode(*LENIENT)
        return hmac.new(self._signs, said, hashlib.sha256).hexdigest()


def seal_of(given: str, folder: Path | None) -> Seal:
    """Return the seal of the settings' key, of the folder's file, or of this process alone."""
    if given:
        return Seal(given.encode())
    if folder is None:
        return Seal(secrets.token_bytes(32))
    path = folder / KEY_FILE
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(secrets.token_hex(32).encode())
        except FileExistsError:
            pass
        return Seal(path.read_bytes())
    except OSError as error:
        raise BadArtefact(f"settings: state_dir: {path} cannot be used: {error}") from error
