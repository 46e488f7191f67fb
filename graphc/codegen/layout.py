"""Indentation of generated text, by braces: templates need not count how deep they are."""

_STEP = "    "


def indented(text: str) -> str:
    """The text with every line indented by the braces around it, single blank lines kept."""
    lines: list[str] = []
    depth = 0
    in_signature = False
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            if lines and lines[-1] and not lines[-1].endswith("{"):
                lines.append("")
            continue
        if line.startswith("}"):
            depth -= 1
            while lines and not lines[-1]:
                lines.pop()
        hanging = 1 if in_signature else 0
        if line.startswith("#include") or line.startswith("#define") or line.startswith("#line"):
            lines.append(line)
        else:
            lines.append(_STEP * (depth + hanging) + line)
        code = _code(line)
        depth += code.count("{") - code.count("}") + (1 if line.startswith("}") else 0)
        if depth == 0 and code.endswith("("):
            in_signature = True
        elif in_signature and code.endswith(")"):
            in_signature = False
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _code(line: str) -> str:
    """The line without its comment and strings."""
    text = line
    while "/*" in text:
        start = text.index("/*")
        end = text.find("*/", start)
        text = text[:start] + (text[end + 2 :] if end >= 0 else "")
    parts = text.split('"')
    return "".join(parts[::2]).strip()
