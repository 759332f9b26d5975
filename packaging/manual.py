"""Writes a man page for the program and for each of its commands, from what the program says of itself.

Usage: parley --experimental-dump-help | manual.py FOLDER VERSION
"""

import json
import pathlib
import sys


def escaped(text):
    """Text for roff: a backslash, and a hyphen or dot at a line's start, mean something there."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join("\\&" + line if line[:1] in ".'" else line for line in text.split("\n"))


def names(argument):
    """An argument as it is typed."""
    if argument["kind"] == "positional":
        return "\\fI" + escaped(argument["valueName"].upper()) + "\\fR"
    typed = []
    for name in argument.get("names", []):
        prefix = "\\-\\-" if name["kind"] == "long" else "\\-"
        typed.append("\\fB" + prefix + escaped(name["name"]) + "\\fR")
    text = ", ".join(typed)
    if argument["kind"] == "option":
        text += " \\fI" + escaped(argument.get("valueName", "value").upper()) + "\\fR"
    return text


def page(command, path, version):
    """The page of one command."""
    title = "-".join(path)
    lines = [f'.TH "{title.upper()}" "1" "" "Parley {version}" "User commands"', ".SH NAME"]
    lines.append(escaped(title) + " \\- " + escaped(command.get("abstract", "").rstrip(".")))
    arguments = [item for item in command.get("arguments", []) if item.get("shouldDisplay", True)]
    lines += [".SH SYNOPSIS", "\\fB" + escaped(" ".join(path)) + "\\fR"]
    for argument in arguments:
        usage = names(argument).split(", ")[0 if argument["kind"] == "positional" else -1]
        lines.append(f"[{usage}]" if argument.get("isOptional", True) else usage)
    if command.get("discussion"):
        lines += [".SH DESCRIPTION", escaped(command["discussion"])]
    if arguments:
        lines.append(".SH OPTIONS")
        for argument in arguments:
            lines += [".TP", names(argument), escaped(argument.get("abstract", ""))]
            if argument.get("defaultValue"):
                lines.append("Default: " + escaped(argument["defaultValue"]) + ".")
    others = [inner["commandName"] for inner in command.get("subcommands", []) if inner["commandName"] != "help"]
    if others:
        lines.append(".SH COMMANDS")
        for inner in command["subcommands"]:
            if inner["commandName"] != "help":
                lines += [".TP", "\\fB" + escaped(inner["commandName"]) + "\\fR", escaped(inner.get("abstract", ""))]
    lines += [".SH SEE ALSO"]
    lines.append(", ".join(f"\\fB{escaped('-'.join(path + [name]))}\\fR(1)" for name in others) or "\\fBparley\\fR(1)")
    return title, "\n".join(lines) + "\n"


def write(command, path, folder, version):
    title, text = page(command, path, version)
    (folder / f"{title}.1").write_text(text, encoding="utf-8")
    for inner in command.get("subcommands", []):
        if inner["commandName"] != "help":
            write(inner, path + [inner["commandName"]], folder, version)


def main():
    folder, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    tool = json.load(sys.stdin)
    write(tool["command"], [tool["command"]["commandName"]], folder, version)


if __name__ == "__main__":
    main()
