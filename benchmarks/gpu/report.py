"""The findings of a card as tables."""

from typing import Any

_ONLY_IN_JSON = ("traceback", "seconds")


def markdown(content: dict[str, Any]) -> str:
    """Show all that was found; what has an inner structure stands in the JSON alone."""
    card, parts = content["card"], content["parts"]
    lines = [f"# {card.get('name', 'unknown card')}", "", f"`{content['command']}`", ""]
    lines += [f"- {key}: {value}" for key, value in card.items() if key != "name"]
    lines += ["", "| part | seconds | limit | state |", "|---|---:|---:|---|"]
    for name, part in parts.items():
        lines.append(f"| {name} | {part['seconds']} | {part['limit']} | {cell(part['state'])} |")
    for name, part in parts.items():
        for group, entries in part["findings"].items():
            lines += ["", f"## {name}: {group}", "", *_table(entries)]
    return "\n".join(lines) + "\n"


def flat(found: dict[str, Any]) -> dict[str, Any]:
    """Give the part of a finding that fits into a table's row."""
    return {
        key: value
        for key, value in found.items()
        if key not in _ONLY_IN_JSON and not isinstance(value, dict | list)
    }


def cell(value: object) -> str:
    """Show a value."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else " ".join(str(value).replace("|", "/").split())[:300]


def _table(entries: dict[str, dict[str, Any]]) -> list[str]:
    rows = {name: flat(found) for name, found in entries.items()}
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    head = ["what", *(column.replace("_", " ") for column in columns)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in rows.items():
        cells = [cell(name), *(cell(row.get(column)) for column in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines
