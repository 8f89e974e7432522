"""The URL of an index: what may be shown of it, and what must not."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from ganhash_cli.errors import UsageError

HIDDEN = "***"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_USER = re.compile(r"(?<=//)([^:@/?#]*):([^@/?#]*)@(?=[^@]*$|[^@?]*\?\w+=)")  # a later @ only in a parameter
_AS_TYPED = re.compile(r"(?<=//)([^:@/?#]*):(.*)@", re.DOTALL)  # to the last @: a password that holds any sign
_PORT = re.compile(r"\d+/")  # `host:5432/photos?label=a@b` has no password
_PARAMETER = re.compile(r"(?<=[?&])((?:ssl)?password|passwd|pwd|token|secret|api_?key)=([^&#]*)", re.IGNORECASE)


class Address:
    """A URL with its `scheme`, and `shown`, in which passwords and tokens are starred out.

    >>> str(Address("postgresql://me:secret@host/photos"))
    'postgresql://me:***@host/photos'
    """

    def __init__(self, url: str) -> None:
        match = _SCHEME.match(url)
        user = _USER if _USER.search(url) else _AS_TYPED
        found = [m[2] for pattern in (user, _PARAMETER) for m in pattern.finditer(url)]
        secrets = {form for secret in found for form in (secret, unquote(secret), _quoted(secret)) if form}
        self._secrets = sorted(secrets, key=len, reverse=True)  # the longer first: one may hold the other
        self.shown = _PARAMETER.sub(rf"\1={HIDDEN}", user.sub(rf"\1:{HIDDEN}@", url))
        # Quoted, it is a password; as it is, a part of it would be taken for the host, and named in an error.
        port = user is _AS_TYPED and bool(found) and bool(_PORT.match(found[0]))
        self.url = url if port else user.sub(lambda m: f"{m[1]}:{_quoted(m[2])}@", url)
        if not match:
            raise UsageError(f"{self.shown} is no URL", hint="for example postgresql://host/database")
        self.scheme = match[1].lower()

    def hide(self, text: str) -> str:
        """Return a text, such as another program's message, without what must not be shown."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def __str__(self) -> str:
        return self.shown

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def _quoted(secret: str) -> str:
    return re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", quote(secret, safe="%"))


def is_url(text: str) -> bool:
    """Whether a word on the command line means a URL, and not a file or a mode."""
    return "://" in text
