"""The sign-in page: plain HTML without a script, under the strictest policy."""

from __future__ import annotations

import re
from html import escape

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Qwarden</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/assets/console.css">
</head>
<body class="signin theme-{theme}">
<main>
<img src="/assets/icon.svg" alt="" width="56" height="56">
<h1>Qwarden</h1>
<form method="post" action="/login">
<input type="hidden" name="next" value="{next}">
<input type="text" name="username" value="admin" autocomplete="username" hidden>
<label for="password">Admin password</label>
<input id="password" type="password" name="password" autocomplete="current-password" required autofocus
 maxlength="256" aria-describedby="said">
<p id="said" class="problem" role="alert">{problem}</p>
<button type="submit">Sign in</button>
</form>
<p class="aside">Shown once when Qwarden first started.
Lost? <code>qwarden up --reset-password</code> makes a new one.</p>
</main>
</body>
</html>
"""


def login_html(problem: str = "", back: str = "/", theme: str = "auto") -> str:
    """Return the page; `problem` says why the last attempt failed, `back` where to go on success.

    >>> "&lt;b&gt;" in login_html("<b>")
    True
    """
    return _PAGE.format(problem=escape(problem), next=escape(back), theme=escape(theme))


def safe_path(path: str) -> str:
    """Return `path` if it is one of our pages, the first page otherwise: never another site.

    >>> safe_path("/finding/01a205c8-17dc-718a-aa2e-2cd6e022faf7")[:9], safe_path("//elsewhere.example")
    ('/finding/', '/')
    """
    return path if re.fullmatch(r"/(finding/[0-9a-f-]{36})?", path) else "/"
