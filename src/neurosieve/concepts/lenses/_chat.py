"""Asking a language model behind an OpenAI-compatible address.

Reads the environment variable of its key; writes nothing. The key goes to that address alone (redirects are not
followed) and into no message, not even where the server repeats it.

Protocol: POST <address>/chat/completions with {model, messages, temperature, seed, max_tokens}; the answer is the text
of choices[0].message.content.
"""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

LARGEST = 1 << 20  # bytes of an answer that are read


class ServerError(RuntimeError):
    """The server cannot be used; the message says what it did and what to change."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the headers, and with them the key, to wherever the server points."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Chat:
    """One model at one address. ``served``: names that the server gave for itself, ``requests``: answers so far."""

    def __init__(self, address: str, model: str, key_variable: str | None, timeout: float, tries: int) -> None:
        self.url, self.model, self.timeout, self.tries = (
            f"{address.rstrip('/')}/chat/completions",
            model,
            timeout,
            tries,
        )
        self.headers = {"Content-Type": "application/json"}
        self.key: str | None = None
        if key_variable is not None:
            key = os.environ.get(key_variable, "").strip()
            if not key:
                raise ServerError(
                    f"concepts.lenses.explain.key_variable: found no environment variable {key_variable}; set it, or "
                    "take the key out of the params file where the server asks for none"
                )
            if not (key.isascii() and key.isprintable()):
                raise ServerError(
                    f"concepts.lenses.explain.key_variable: {key_variable} holds a character that no header may have; "
                    "write the key alone into it"
                )
            self.key = key
            self.headers["Authorization"] = f"Bearer {key}"
        self.served: set[str] = set()
        self.requests = 0

    def ask(self, system: str, user: str, max_tokens: int) -> str:
        """The answer to one message. ServerError after ``tries`` failures, at once where trying again cannot help."""
        body = {
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": max_tokens,
        }
        said = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(min(2**attempt, 30) / 2)
            try:
                found = self._post(body)
                break
            except urllib.error.HTTPError as error:
                said = f"status {error.code}: {_start_of(error)}"
                if error.code < 500 and error.code not in (408, 429):
                    raise ServerError(self._told(f"{said}; mend address, model or key")) from None
            except (OSError, ValueError, http.client.HTTPException) as error:  # refused, timed out, no HTTP, no JSON
                said = str(error) or type(error).__name__
        else:
            raise ServerError(
                self._told(
                    f"{said} ({self.tries} tries); start it, mend address, or raise timeout ({self.timeout:g} s)"
                )
            )
        try:
            text = found["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str):
            raise ServerError(
                self._told(f"an answer without choices[0].message.content: {str(found)[:200]}; the address must speak "
                           "the OpenAI protocol (chat/completions)")
            )  # fmt: skip
        self.requests += 1
        if isinstance(found.get("model"), str):
            self.served.add(self._without_key(found["model"]))
        return self._without_key(text)

    def _post(self, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(self.url, json.dumps(body).encode(), self.headers)  # noqa: S310  (http, https)
        until = time.monotonic() + self.timeout
        parts: list[bytes] = []
        with _OPENER.open(request, timeout=self.timeout) as answer:  # of each wait, not of the whole answer
            while part := answer.read1(LARGEST):
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError(f"no whole answer in {self.timeout:g} s")
                if sum(map(len, parts)) > LARGEST:
                    raise ValueError(f"an answer of more than {LARGEST:,} bytes")
        return json.loads(b"".join(parts))

    def _without_key(self, text: str) -> str:
        return text if self.key is None else text.replace(self.key, "[key]")

    def _told(self, what: str) -> str:
        return self._without_key(f"concepts.lenses.explain: {self.url}: found {what}")


def _start_of(error: urllib.error.HTTPError) -> str:
    """What the server says of an error, as far as it can be read."""
    try:
        return error.read(300).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return "nothing that can be read"
