"""Repositories as pkgrepo(1), pkgsend(1) and pkgrecv(1) leave them, by their source, without any code of ours or
theirs: what Python's json, zlib and tarfile write is what the reference implementation writes with them.

    make.py DIRECTORY    makes v4, v3, v2, omnios (repositories) and all.p5p in DIRECTORY
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile
import zlib
from urllib.parse import quote

TIME = "20240101T120000"
STAMP = TIME + "Z"

TABLES = {
    "etc/passwd": "root:x:0:0:Super-User:/root:/sbin/sh\n",
    "etc/shadow": "root:NP:6445::::::\n",
    "etc/group": "root::0:\nsys::3:\n",
}


def quoted(value):
    if value and not any(c in value for c in " '\""):
        return value
    if '"' not in value:
        return f'"{value}"'
    if "'" not in value:
        return f"'{value}'"
    return '"' + value.replace('"', '\\"') + '"'


def packed(data):
    """gzip with the header that does not change: no time, no name, best compression, system unknown."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(data) + deflate.flush()
    tail = zlib.crc32(data).to_bytes(4, "little") + (len(data) & 0xFFFFFFFF).to_bytes(4, "little")
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff" + body + tail


def strong(data):
    return hashlib.new("sha512_256", data).hexdigest()


class Store:
    """The directory of one publisher, or that of a whole repository before version 4."""

    def __init__(self, root, publisher, layout):
        self.root, self.publisher, self.layout = root, publisher, layout
        self.entries, self.utf8 = {}, False
        for name in ("catalog", "file", "index", "pkg", "tmp", "trans"):
            os.makedirs(os.path.join(root, name), exist_ok=True)

    def payload(self, data, attributes):
        """Keeps a payload, and adds what pkgsend(1) says of one."""
        name, small = hashlib.sha1(data).hexdigest(), packed(data)
        below = {1: [name[:2]], 0: [name[:2], name[2:8]]}[self.layout]
        path = os.path.join(self.root, "file", *below, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(small)
        hashes = ["file:sha512t_256:" + strong(data), "gzip:sha512t_256:" + strong(small)]
        if data.startswith(b"\x7fELF"):
            attributes.update(elfarch="i386", elfbits="64", elfhash="0" * 40)
            hashes += ["gelf:sha512t_256:" + "1" * 64, "gelf.unsigned:sha512t_256:" + "2" * 64]
        attributes["chash"] = hashlib.sha1(small).hexdigest()
        attributes["pkg.content-hash"] = hashes
        attributes["pkg.size"], attributes["pkg.csize"] = str(len(data)), str(len(small))
        return name

    def publish(self, stem, version, actions):
        """Actions are (kind, attributes, payload or None); the order of attributes in the text is by name."""
        version = f"{version}:{STAMP}"
        name = {"name": "pkg.fmri", "value": f"pkg://{self.publisher}/{stem}@{version}"}
        lines, canonical = [], []
        for kind, attributes, data in [("set", name, None)] + actions:
            attributes = dict(attributes)
            words = [kind] if data is None else [kind, self.payload(data, attributes)]
            canonical.append(line_of(words, attributes, sorted))
            if kind == "signature":
                # By hash alone: it is there to show damage. It signs that it has a value, and not which.
                attributes["value"] = hashlib.sha256("\n".join(sorted(canonical)).encode()).hexdigest()
            lines.append(line_of(words, attributes, list))
        text = ("\n".join(lines) + "\n").encode()
        directory = os.path.join(self.root, "pkg", quote(stem, ""))
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, quote(version, "")), "wb") as file:
            file.write(text)
        self.entries.setdefault(stem, []).append((version, lines, hashlib.sha1(text).hexdigest()))

    def write_json(self, name, data):
        if self.utf8:
            data = dict(data, _FEATURE=["utf8"])
        text = json.dumps(data, sort_keys=True, ensure_ascii=not self.utf8).encode() + b"\n"
        signature = hashlib.sha1(text).hexdigest()
        comma = b"," if len(text) > 3 else b""
        end = b'"_SIGNATURE":' + json.dumps({"sha-1": signature}).encode() + b"}\n"
        with open(os.path.join(self.root, "catalog", name), "wb") as file:
            file.write(text[:-2] + comma + end)
        return {"last-modified": TIME + ".123456Z", "signature-sha-1": signature}

    def finish(self):
        """The catalog with its parts, the log of the last hour, and what searching leaves."""
        base, dependency, summary, log = {}, {}, {}, {}
        for stem, versions in sorted(self.entries.items()):
            for version, lines, sha1 in sorted(versions):
                base.setdefault(stem, []).append({"signature-sha-1": sha1, "version": version})
                update = {"catalog.base.C": {"signature-sha-1": sha1}, "op-type": "add", "version": version}
                update["op-time"] = TIME + ".123456Z"
                kinds = {"catalog.dependency.C": dependency, "catalog.summary.C": summary}
                for name, part in kinds.items():
                    actions = [line for line in lines if part_of(line) == name]
                    if actions:
                        part.setdefault(stem, []).append({"actions": actions, "version": version})
                        update[name] = {"actions": actions}
                log.setdefault(stem, []).append(update)
        parts = {"catalog.base.C": base, "catalog.dependency.C": dependency, "catalog.summary.C": summary}
        hour = f"update.{TIME[:11]}Z.C"
        attrs = {
            "created": "20200101T000000.000001Z",
            "last-modified": TIME + ".123456Z",
            "package-count": len(base),
            "package-version-count": sum(len(versions) for versions in base.values()),
            "parts": {n: self.write_json(n, {self.publisher: p}) for n, p in parts.items() if p},
            "updates": {hour: self.write_json(hour, {self.publisher: log})} if log else {},
            "version": 1,
        }
        self.write_json("catalog.attrs", attrs)
        for name in ("main_dict.ascii.v2", "full_fmri_list", "full_fmri_list.hash", "manf_list.v1"):
            with open(os.path.join(self.root, "index", name), "w", encoding="utf-8") as file:
                file.write("VERSION: 2\n")
        os.makedirs(os.path.join(self.root, "trans", quote(f"1704110400_pkg://{self.publisher}/given-up@1", "")))
        with open(os.path.join(self.root, "tmp", "lock"), "w", encoding="utf-8") as file:
            file.write("4711\nsome-host\n")


def line_of(words, attributes, order):
    line = list(words)
    for key in sorted(attributes):
        values = attributes[key]
        line += [f"{key}={quoted(value)}" for value in (order(values) if isinstance(values, list) else [values])]
    return " ".join(line)


def part_of(line):
    if line.startswith("depend "):
        return "catalog.dependency.C"
    if not line.startswith("set ") or "name=pkg.fmri" in line:
        return None
    decides = ("name=pkg.obsolete", "name=pkg.renamed", "name=pkg.depend.", "name=variant.", " variant.", " facet.")
    return "catalog.dependency.C" if any(word in line for word in decides) else "catalog.summary.C"


def owned(path, mode, **more):
    return dict(path=path, mode=mode, owner="root", group="sys", **more)


def say(name, value, **more):
    return ("set", dict(name=name, value=value, **more), None)


def depend(kind, fmri, **more):
    return ("depend", {"type": kind, "fmri": fmri, **more}, None)


def made_up(store):
    base = [("group", dict(groupname="root", gid="0"), None), ("group", dict(groupname="sys", gid="3"), None)]
    base.append(("user", {"username": "root", "uid": "0", "group": "root", "password": "NP", "home-dir": "/root",
                          "gcos-field": "Super-User", "login-shell": "/sbin/sh", "lastchg": "6445"}, None))
    base += [("dir", owned(path, "0755"), None) for path in ("etc", "usr", "usr/bin")]
    base += [("file", owned(path, "0400" if path == "etc/shadow" else "0644", preserve="true"), text.encode())
             for path, text in TABLES.items()]
    base.append(("license", dict(license="CDDL, and \"others\""), "Do what you must, ü\n".encode()))
    store.publish("system/base", "1.0,5.11-2024.0.0.0", base + [say("variant.arch", ["i386", "sparc"])])

    elf = b"\x7fELF\x02\x01\x01\x06" + bytes(range(256)) * 64
    tool = [
        say("pkg.summary", "A \"tool\" of 'many' uses, naïvely"), say("pkg.description", 'all "quotes" of one kind'),
        say("info.classification", ["org.opensolaris.category.2008:System/Core", "org.opensolaris.category.2008:Web"]),
        say("pkg.depend.install-hold", "core-os.tool"), say("empty", ""),
        depend("require", "pkg:/system/base@1.0,5.11-2024"),
        depend("require", "pkg:/only/sparc", **{"variant.arch": "sparc"}),
        depend("require", "pkg:/renamed/tool-doc", **{"facet.doc": "true"}),
        depend("conditional", "pkg:/system/base", predicate="pkg:/tool"),
        depend("optional", "pkg:/gone@2"), depend("parent", "feature/package/dependency/self"),
        ("file", owned("usr/bin/tool", "0555", **{"variant.arch": "i386"}), elf),
        ("file", owned("usr/bin/tool", "0555", **{"variant.arch": "sparc"}), b"another one"),
        ("file", owned("usr/share/a name with blanks", "0444"), b"x" * 70000),
        ("file", owned("usr/share/empty=very", "0444"), b""), ("file", owned("usr/share/twin", "0444"), b"x" * 70000),
        ("hardlink", dict(path="usr/bin/hard", target="tool"), None),
        ("link", dict(path="usr/bin/soft", target="../share/a name with blanks"), None),
        ("dir", owned("usr/share", "0755"), None),
        ("legacy", {"pkg": "SUNWtool", "desc": "", "name": "The tool", "hotline": "Please don't"}, None),
        ("signature", {"algorithm": "sha256", "value": "", "version": "0"}, None),
    ]
    store.publish("tool", "0.9,5.11-2024.0.0.0", [depend("require", "system/base")])
    store.publish("tool", "1.10,5.11-2024.0.0.1", tool)
    renamed = [say("pkg.renamed", "true"), depend("require", "pkg:/tool/doc@1")]
    store.publish("renamed/tool-doc", "1.1,5.11", renamed)
    store.publish("tool/doc", "1.1,5.11", [("file", owned("usr/share/doc", "0444", **{"facet.doc": "true"}), DOC)])
    store.publish("gone", "2,5.11", [say("pkg.obsolete", "true")])


DOC = b"The documentation"


def other(store):
    store.publish("other/doc", "3,5.11", [("file", owned("usr/other", "0444"), DOC)])


def version_4(root, utf8=False):
    for publisher, publish in (("made.up", made_up), ("other", other), ("new-and-empty", lambda store: None)):
        store = Store(os.path.join(root, "publisher", publisher), publisher, layout=1)
        store.utf8 = utf8
        publish(store)
        store.finish()
        p5i = {"packages": [], "version": 1,
               "publishers": [{"alias": None, "name": publisher, "packages": [], "repositories": []}]}
        with open(os.path.join(store.root, "pub.p5i"), "w", encoding="utf-8") as file:
            file.write(json.dumps(p5i, indent=2, sort_keys=True) + "\n")
    with open(os.path.join(root, "pkg5.repository"), "w", encoding="utf-8") as file:
        file.write("[publisher]\nprefix = made.up\n\n[repository]\nversion = 4\n"
                   "trust-anchor-directory = /etc/certs/CA/\nsignature-required-names = []\n"
                   "check-certificate-revocation = False\n\n[CONFIGURATION]\nversion = 4\n\n")


def version_3(root):
    store = Store(root, "made.up", layout=0)
    made_up(store)
    store.finish()
    with open(os.path.join(root, "cfg_cache"), "w", encoding="utf-8") as file:
        file.write("[CONFIGURATION]\nversion = 3\n\n[publisher]\nalias = \nprefix = made.up\n\n[repository]\n"
                   "collection_type = core\nname = package repository\norigins = \n\n[feed]\nversion = 9\n\n")


def version_2(root):
    """Neither the configuration nor the catalog are of a kind that says more than names."""
    version_3(root)
    shutil.rmtree(os.path.join(root, "catalog"))
    os.mkdir(os.path.join(root, "catalog"))
    with open(os.path.join(root, "catalog", "attrs"), "w", encoding="utf-8") as file:
        file.write("S Last-Modified: 2009-08-28T15:01:48.546606\nS prefix: CRSV\nS npkgs: 7\n")
    with open(os.path.join(root, "cfg_cache"), "w", encoding="utf-8") as file:
        file.write("\n")


def archive(repository, path):
    """What pkgrecv -a makes: an index and then directories, manifests and files, without a catalog. A file that two
    publishers share in the repository is in it once, and a hard link."""
    name = hashlib.sha1(DOC).hexdigest()
    ours, others = [os.path.join(repository, "publisher", who, "file", name[:2], name) for who in ("made.up", "other")]
    os.remove(others)
    os.link(ours, others)
    members, index, offset = ["publisher"], io.BytesIO(), 0
    for publisher in ("made.up", "other"):
        members.append(os.path.join("publisher", publisher))
        for part in ("file", "pkg"):
            for directory, _, files in sorted(os.walk(os.path.join(repository, "publisher", publisher, part))):
                below = os.path.relpath(directory, repository)
                members += [below] + [os.path.join(below, name) for name in sorted(files)]
        members.append(os.path.join("publisher", publisher, "pub.p5i"))
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        def member(name):
            info = tar.gettarinfo(os.path.join(repository, name), arcname=name)
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            return info
        entries = [(name, member(name)) for name in members + ["pkg5.repository"]]
        for name, info in entries:
            length = len(info.tobuf(tarfile.PAX_FORMAT)) + (info.size + 511) // 512 * 512
            index.write(f"{name}\0{offset}\0{length}\0{info.size}\0{info.type.decode()}\0\n".encode())
            offset += length
        data = gzip.compress(index.getvalue())
        info = tarfile.TarInfo("pkg5.index.0.gz")
        info.size, info.pax_headers = len(data), {"comment": "pkg5.archive.version.0"}
        tar.addfile(info, io.BytesIO(data))
        for name, info in entries:
            if info.isreg():
                with open(os.path.join(repository, name), "rb") as file:
                    tar.addfile(info, file)
            else:
                tar.addfile(info)


def main(directory):
    version_4(os.path.join(directory, "v4"))
    version_4(os.path.join(directory, "omnios"), utf8=True)
    version_3(os.path.join(directory, "v3"))
    version_2(os.path.join(directory, "v2"))
    archive(os.path.join(directory, "v4"), os.path.join(directory, "all.p5p"))


main(sys.argv[1])
