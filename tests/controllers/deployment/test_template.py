"""Templates: equal in meaning is equal, and hashes are stable names."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import SUFFIX_ALPHABET
from kplane.api.resource import Object
from kplane.controllers.deployment.template import same_template, template_hash, with_hash


def template(**container: Any) -> Object:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web:1", **container}]},
    }


def limits(cpu: Any) -> Object:
    return template(resources={"limits": {"cpu": cpu}})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        pytest.param(template(), with_hash(template(), "abc"), id="hash-label"),
        pytest.param(limits("1000m"), limits("1"), id="quantity"),
        pytest.param(limits(1), limits("1"), id="number"),
        pytest.param(template(), template(env=[]), id="empty-list"),
        pytest.param(template(), template(args=None), id="null"),
    ],
)
def test_same(a: Object, b: Object) -> None:
    assert same_template(a, b)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(template(image="web:2"), id="image"),
        pytest.param(limits("2"), id="quantity"),
        pytest.param(template(securityContext={}), id="empty-object-is-set"),
    ],
)
def test_different(other: Object) -> None:
    assert not same_template(template(), other)


def test_the_hash_depends_on_meaning_and_collisions_only() -> None:
    assert template_hash(template(), None) == template_hash(with_hash(template(), "x"), None)
    assert template_hash(template(), None) != template_hash(template(), 1)
    assert template_hash(template(), None) != template_hash(template(image="web:2"), None)
    assert set(template_hash(template(), None)) <= set(SUFFIX_ALPHABET)
