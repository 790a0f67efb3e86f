"""Label selectors as upstream's events and conditions show them: as Go prints its own types."""

from __future__ import annotations

from kplane.api.types import LabelSelector


def shown_selector(selector: LabelSelector | None) -> str:
    if selector is None:
        return "nil"
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.match_labels or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{entry.key},Operator:{entry.operator},"
        f"Values:[{' '.join(entry.values or ())}],}},"
        for entry in selector.match_expressions or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
