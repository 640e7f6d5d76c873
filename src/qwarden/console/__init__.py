"""The console: a page in the browser that shows findings as they come.

A surface: it reads what the store keeps and what the bus brings, and decides nothing about traffic.
Read in this order:

- `server`  the way from a home folder to a page: password, certificate, feed, HTTPS
- `gate`    what every request passes first: host, origin, session, headers
- `access`  the admin password, sessions, and the back-off after wrong ones; `tls`: the certificate
- `board`   what the pages show, gathered from store and bus; `events`: what a feed leaves behind
- `app`     routes; `pages`: how they look
- `feeds`   where traffic comes from: a folder of captures, a live source, a replayed scenario
"""
