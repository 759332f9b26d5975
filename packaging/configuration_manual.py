"""Writes the man page of the configuration from its Markdown: headings, paragraphs, lists, tables with a key in front, and
blocks of examples.

Usage: configuration_manual.py DOCUMENT PAGE VERSION
"""

import pathlib
import re
import sys

from manual import escaped


def inline(text):
    """Code and strong words in bold, links as their text."""
    text = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
    parts = re.split(r"`([^`]*)`", text.replace("**", ""))
    return "".join(f"\\fB{escaped(part)}\\fR" if index % 2 else escaped(part) for index, part in enumerate(parts))


def cells(line):
    """The cells of a table's row; a bar behind a backslash is none's end."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def table(rows):
    """A row for each key: what the other columns say, with their titles where there are more than one."""
    titles = cells(rows[0])
    for row in rows[2:]:
        entries = cells(row)
        yield ".TP"
        yield inline(entries[0])
        yield inline(entries[1]) if len(entries) > 1 else ""
        for title, entry in list(zip(titles, entries))[2:]:
            if entry:
                yield ".br"
                yield f"{inline(title.capitalize())}: {inline(entry)}"


def blocks(lines):
    """Lines that belong together, with what they are."""
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.startswith("```"):
            end = next(i for i in range(index + 1, len(lines)) if lines[i].startswith("```"))
            yield "example", lines[index + 1 : end]
            index = end + 1
            continue
        kind = "heading" if line.startswith("#") else "table" if line.startswith("|") else "item" if line.startswith("- ") else "text"
        if not line.strip():
            index += 1
            continue
        block = [line]
        index += 1
        while kind != "heading" and index < len(lines) and lines[index].strip():
            following = lines[index]
            if following.startswith(("#", "```")) or (following.startswith("|")) != (kind == "table"):
                break
            if kind in ("item", "text") and following.startswith("- "):
                break
            block.append(following)
            index += 1
        yield kind, block


def page(text, version):
    lines = [
        f'.TH "PARLEY.CONF" "5" "" "Parley {version}" "File formats"',
        ".SH NAME",
        "parley.conf \\- swanctl.conf and strongswan.conf as parley reads them",
    ]
    for kind, block in blocks(text.split("\n")):
        if kind == "heading":
            title = block[0].lstrip("# ")
            lines.append(".SH DESCRIPTION" if block[0].startswith("# ") else ".SH " + inline(title).replace("\\fB", "").replace("\\fR", ""))
        elif kind == "example":
            lines += [".PP", ".nf", ".RS 4"] + [escaped(line) or "\\&" for line in block] + [".RE", ".fi"]
        elif kind == "table":
            lines += list(table(block)) + [".PP"]
        elif kind == "item":
            lines += [".IP \\(bu 2", inline(" ".join(line.strip() for line in [block[0][2:]] + block[1:]))]
        else:
            lines += [".PP", inline(" ".join(block))]
    lines += [".SH SEE ALSO", "\\fBparley\\fR(1), \\fBparley\\-run\\fR(1), \\fBparley\\-check\\fR(1)"]
    return "\n".join(lines) + "\n"


def main():
    text = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    pathlib.Path(sys.argv[2]).write_text(page(text, sys.argv[3]), encoding="utf-8")


if __name__ == "__main__":
    main()
