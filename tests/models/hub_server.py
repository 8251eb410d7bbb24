"""A hub of two data sets on this machine, as much of it as the library datasets asks for; run as a program it loads from it."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
import threading
import urllib.parse

COMMITS = {"owner/films": "a" * 39 + "1", "nyu-mll/glue": "b" * 39 + "2"}


def table(n: int, first: int = 0) -> bytes:
    rows = [f"film number {i + first} is {('bad', 'good')[i % 2]},{i % 2}" for i in range(n)]
    return ("sentence,label\n" + "\n".join(rows) + "\n").encode()


_CARD = b"""---
license: cc0-1.0
configs:
- config_name: sst2
  data_files: [{split: train, path: sst2/train.csv}]
- config_name: cola
  data_files: [{split: train, path: cola/train.csv}]
---
"""
FILES = {
    "owner/films": {"README.md": b"---\nlicense: mit\n---\n", "train.csv": table(40), "test.csv": table(10, 100)},
    "nyu-mll/glue": {"README.md": _CARD, "sst2/train.csv": table(30), "cola/train.csv": table(20)},
}
LICENCES = {"owner/films": "mit", "nyu-mll/glue": ["cc0-1.0", "other"]}


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        return

    def answer(self, code: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        named = path.removeprefix("/api").removeprefix("/datasets/")
        parts = named.split("/")
        # A name without an owner is forwarded.
        if parts[0] == "glue" and parts[1:2] in ([], ["resolve"], ["revision"]):
            named = f"nyu-mll/{named}"
        name = next((one for one in FILES if named == one or named.startswith(f"{one}/")), None)
        if name is None:
            return self.answer(401, X_Error_Code="RepoNotFound")
        rest = named[len(name) + 1 :]
        files, commit = FILES[name], COMMITS[name]
        if rest.startswith("resolve/"):
            file = rest.split("/", 2)[2]
            if file not in files:
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            tag = hashlib.sha1(files[file]).hexdigest()
            return self.answer(200, files[file], X_Repo_Commit=commit, ETag=f'"{tag}"')
        if rest.startswith("tree/"):
            inside = "".join(rest.split("/", 2)[2:])
            return self.answer(200, json.dumps([_entry(files, f) for f in files if f.startswith(inside)]).encode())
        if rest.startswith("paths-info/"):
            wanted = urllib.parse.parse_qs(body.decode()).get("paths") or json.loads(body)["paths"]
            folders = [{"type": "directory", "oid": "0", "size": 0, "path": one} for one in wanted
                       if any(file.startswith(f"{one}/") for file in files)]  # fmt: skip
            return self.answer(200, json.dumps([_entry(files, f) for f in wanted if f in files] + folders).encode())
        about = {"_id": "1", "id": name, "sha": commit, "siblings": [{"rfilename": f} for f in files], "tags": [],
                 "private": False, "downloads": 0, "likes": 0, "cardData": {"license": LICENCES[name]}}  # fmt: skip
        return self.answer(200, json.dumps(about).encode())

    do_GET = do_HEAD = do_POST = handle_any


def _entry(files: dict[str, bytes], file: str) -> dict[str, object]:
    return {"type": "file", "oid": hashlib.sha1(files[file]).hexdigest(), "size": len(files[file]), "path": file}


def loaded(name: str, **options: object) -> list[object]:
    from models.data import load
    from models.errors import ModelError

    try:
        got = load(name, **options)
    except ModelError as error:
        return [str(error)]
    return [got.name, len(got.train), len(got.validation), len(got.test), got.revision, got.source, got.digest]


if __name__ == "__main__":
    if not os.environ.get("HF_HUB_OFFLINE"):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_address[1]}"
    print("\n" + json.dumps([loaded(name, **options) for name, options in json.loads(sys.argv[1])]))
