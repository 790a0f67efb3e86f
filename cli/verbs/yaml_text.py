"""Objects as YAML text, quoted as kubectl quotes them: whatever some YAML reader could take for something
other than a string stands in double quotes."""

from __future__ import annotations

import re

import yaml

from kplane.api.resource import Object

_AMBIGUOUS = re.compile(
    r"""(?x)
      | ~ | null | Null | NULL | <<
      | [yYnN] | [yY]es | YES | [nN]o | NO | [tT]rue | TRUE | [fF]alse | FALSE | [oO]n | ON | [oO]ff | OFF
      | [-+]?(?: 0b[01_]+ | 0o?[0-7_]+ | 0x[0-9a-fA-F_]+ | [0-9][0-9_]* )
      | [-+]?(?: \.[0-9]+ | [0-9]+(?:\.[0-9]*)? )(?:[eE][-+]?[0-9]+)?
      | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?
      | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)
      | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}
        (?: (?:[Tt]|[ ]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)? (?:[ ]*(?:Z|[-+][0-9:]+))? )?
    """
)


class _Dumper(yaml.CSafeDumper):
    """libyaml's emitter, of which go-yaml's is a translation; only the choice of quotes is ours."""


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(text) else None
    if "\n" in text:
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def dump(obj: Object) -> str:
    """One document, keys in order of name."""
    text: str = yaml.dump(obj, Dumper=_Dumper, sort_keys=True, allow_unicode=True, default_flow_style=False)
    return text
