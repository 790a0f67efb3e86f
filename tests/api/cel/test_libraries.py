"""The function libraries that Kubernetes gives to expressions."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import DYN, CelError, Environment, EvaluationError, to_json

ENVIRONMENT = Environment({"d": DYN})


def value_of(source: str, bindings: dict[str, Any] | None = None) -> Any:
    return ENVIRONMENT.compile(source, expected=None).evaluate(bindings or {})


STRINGS = [
    "'hello'.charAt(1) == 'e' && 'hello'.charAt(5) == '' && 'é!'.charAt(0) == 'é'",
    "'hello'.indexOf('l') == 2 && 'hello'.indexOf('l', 3) == 3 && 'hello'.indexOf('x') == -1",
    "'hello'.indexOf('') == 0 && 'hello'.indexOf('', 3) == 3 && ''.indexOf('a') == -1",
    "'hello'.lastIndexOf('l') == 3 && 'hello'.lastIndexOf('l', 2) == 2 && 'hello'.lastIndexOf('') == 5",
    "'hello'.lastIndexOf('he', 4) == 0 && 'a'.lastIndexOf('abc') == -1",
    "'HéLLO'.lowerAscii() == 'héllo' && 'ÉTé'.lowerAscii() == 'Été' && 'héllo'.upperAscii() == 'HéLLO'",
    "'hello hello'.replace('he', 'we') == 'wello wello'",
    "'hello hello'.replace('he', 'we', 1) == 'wello hello'",
    "'abc'.replace('', '-') == '-a-b-c-'",
    "'aaa'.replace('a', '', -1) == '' && 'aaa'.replace('a', 'b', 0) == 'aaa'",
    "'a,b,c'.split(',') == ['a', 'b', 'c']",
    "'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c']",
    "'a,b'.split(',', 0) == [] && 'abc'.split('', 2) == ['a', 'bc'] && 'a,b'.split(',', 1) == ['a,b']",
    "'hello'.substring(2) == 'llo' && 'hello'.substring(1, 3) == 'el' && 'hello'.substring(5) == ''",
    "'  \\thello\\u2003 '.trim() == 'hello' && 'abc'.reverse() == 'cba'",
    "['a', 'b'].join() == 'ab' && ['a', 'b'].join('-') == 'a-b' && [].join('-') == ''",
    r"""strings.quote('a"b\n\\') == '"a\\"b\\n\\\\"'""",
    "'%s is %s'.format(['a', 'b']) == 'a is b' && '%d%%'.format([5]) == '5%'",
    "'%s'.format([[dyn(1), 'a', 2.5]]) == '[1, \"a\", 2.500000]'",
    "'%s'.format([{'b': true, 'a': null != null}]) == '{\"a\":false, \"b\":true}'",
    "'%.2f %f %e'.format([1.005, 2.5, 1234.5]) == '1.00 2.500000 1.234500e+03'",
    "'%x %X %o %b'.format([255, 255, 8, 5]) == 'ff FF 10 101' && '%x'.format(['hi']) == '6869'",
    "'%s %s'.format([dyn(timestamp(0)), duration('90s')]) == '1970-01-01T00:00:00Z 90s'",
    "'%s'.format([[duration('1s')]]) == '[duration(\"1s\")]' && '%s'.format([type(1)]) == 'int'",
    "'%s'.format([dyn(null)]) == 'null' && '%b'.format([true]) == '1'",
]
LISTS = [
    "[1, 2, 3].isSorted() && !['b', 'a'].isSorted() && [].map(x, 1).isSorted()",
    "[1, 2, 3].sum() == 6 && [1.5, 2.5].sum() == 4.0 && [1u, 2u].sum() == 3u",
    "[duration('1m'), duration('2m')].sum() == duration('3m') && [].map(x, 1).sum() == 0",
    "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && ['b', 'a'].min() == 'a' && [false, true].max()",
    "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(5) == -1",
    "[[1], [2]].indexOf([2]) == 1",
    "[1, 2, 3, 4].slice(1, 3) == [2, 3] && [1].slice(0, 0) == []",
    "[[1], [2, 3]].flatten() == [1, 2, 3] && [dyn(1), [dyn(2), [3]]].flatten(2) == [1, 2, 3]",
    "[1, 2, 1, 3].distinct() == [1, 2, 3] && [dyn(1), 1.0, 'a'].distinct().size() == 2",
    "[3, 1, 2].sort() == [1, 2, 3] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]",
    "['bb', 'a'].sortBy(s, s.size()) == ['a', 'bb']",
    "[1, 2].first().value() == 1 && [1, 2].last().value() == 2",
    "sets.contains([1, 2], [2]) && !sets.contains([1], [1, 2]) && sets.contains([1], [])",
    "sets.equivalent([1, 2, 2], [2, 1]) && !sets.equivalent([1], [1, 2])",
    "sets.intersects([1, 2], [2, 3]) && !sets.intersects([1], [2]) && sets.contains([1], [dyn(1.0)])",
]
REGEX_AND_URL = [
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]+') == ''",
    "'1 22 333'.findAll('[0-9]+') == ['1', '22', '333'] && '1 22 333'.findAll('[0-9]+', 2) == ['1', '22']",
    "'123'.findAll('x*', 0) == [] && '1a'.findAll('[a-z]', -1) == ['a']",
    "url('https://a.example:8080/p%20q?k=v&k=w&e=a+b%21').getScheme() == 'https'",
    "url('https://a.example:8080/p').getHost() == 'a.example:8080'",
    "url('https://a.example:8080').getPort() == '8080'",
    "url('https://[::1]:80/').getHostname() == '::1' && url('https://a/').getPort() == ''",
    "url('https://a/p%20q r').getEscapedPath() == '/p%20q%20r' && url('/path').getHost() == ''",
    "url('https://a/?k=v&k=w&e=a+b%21').getQuery() == {'k': ['v', 'w'], 'e': ['a b!']}",
    "isURL('https://a.example/p') && isURL('/abs')",
    "!isURL('relative') && !isURL('') && !isURL('https://a b/')",
    "!isURL('../x') && !isURL('https://a/%zz') && !isURL('https://a:x/')",
    "url('https://a/') == url('https://a/')",
]
KUBERNETES = [
    "isQuantity('1.3Gi') && isQuantity('100m') && !isQuantity('1.3GiB') && !isQuantity('')",
    "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1k').isLessThan(quantity('1Ki'))",
    "quantity('1000m').compareTo(quantity('1')) == 0 && quantity('2').compareTo(quantity('1')) == 1",
    "quantity('1000m') == quantity('1') && quantity('2') != quantity('1')",
    "quantity('50k').add(quantity('20')) == quantity('50020')",
    "quantity('50k').sub(20000) == quantity('30k')",
    "quantity('50k').asInteger() == 50000 && !quantity('50m').isInteger() && quantity('50k').isInteger()",
    "quantity('-1').sign() == -1",
    "quantity('0').sign() == 0 && quantity('1500m').asApproximateFloat() == 1.5",
    "ip('10.0.0.1').family() == 4 && ip('::1').family() == 6 && ip('10.0.0.1') == ip('10.0.0.1')",
    "isIP('10.0.0.1') && isIP('::1')",
    "!isIP('10.0.0.01') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
    "ip.isCanonical('::1') && !ip.isCanonical('0:0::1') && string(ip('0:0::1')) == '::1'",
    "ip('0.0.0.0').isUnspecified() && ip('127.0.0.1').isLoopback() && ip('::1').isLoopback()",
    "ip('224.0.0.1').isLinkLocalMulticast() && !ip('224.0.1.1').isLinkLocalMulticast()",
    "ip('ff02::1').isLinkLocalMulticast()",
    "ip('169.254.1.1').isLinkLocalUnicast() && ip('fe80::1').isLinkLocalUnicast()",
    "ip('10.0.0.1').isGlobalUnicast()",
    "!ip('255.255.255.255').isGlobalUnicast() && !ip('127.0.0.1').isGlobalUnicast()",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))",
    "!cidr('10.0.0.0/8').containsIP('::1') && !cidr('10.0.0.0/8').containsCIDR('::/0')",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !cidr('10.1.0.0/16').containsCIDR(cidr('10.0.0.0/8'))",
    "cidr('192.168.1.7/24').masked() == cidr('192.168.1.0/24')",
    "cidr('192.168.1.7/24').prefixLength() == 24",
    "cidr('192.168.1.7/24').ip() == ip('192.168.1.7') && string(cidr('192.168.1.7/24')) == '192.168.1.7/24'",
    "isCIDR('10.0.0.0/8') && !isCIDR('10.0.0.0') && !isCIDR('10.0.0.0/33') && !isCIDR('10.0.0.0/08')",
    "isSemver('1.2.3-rc.1+b') && !isSemver('v1.2.3') && !isSemver('1.2') && !isSemver('01.2.3')",
    "isSemver('v1.2', true) && semver('v01.2', true) == semver('1.2.0') && !isSemver('1.2-rc', true)",
    "semver('1.2.3').major() == 1 && semver('1.2.3').minor() == 2 && semver('1.2.3').patch() == 3",
    "semver('1.2.3-rc.2').isLessThan(semver('1.2.3-rc.10'))",
    "semver('1.2.3-rc.1').isLessThan(semver('1.2.3'))",
    "semver('1.2.3-1').isLessThan(semver('1.2.3-a')) && semver('1.2.3-a').isLessThan(semver('1.2.3-a.1'))",
    "semver('2.0.0').isGreaterThan(semver('1.9.9')) && semver('1.2.3+a').compareTo(semver('1.2.3+b')) == 0",
    "!format.dns1123Label().validate('my-label').hasValue()",
    "format.dns1123Label().validate('My').hasValue()",
    "!format.dns1123LabelPrefix().validate('my-').hasValue()",
    "format.dns1123Label().validate('my-').hasValue()",
    "!format.qualifiedName().validate('a.b/c').hasValue() && !format.labelValue().validate('').hasValue()",
    "format.uuid().validate('x').value() == ['does not match the UUID format']",
    "!format.uuid().validate('123e4567-e89b-12d3-a456-426614174000').hasValue()",
    "format.byte().validate('a').value() == ['invalid base64']",
    "!format.byte().validate('aGVsbG8=').hasValue()",
    "format.date().validate('x').value() == ['invalid date']",
    "!format.date().validate('2021-01-01').hasValue()",
    "!format.datetime().validate('2021-01-01T00:00:00Z').hasValue()",
    "format.uri().validate('x y').hasValue()",
    "!format.named('nope').hasValue() && format.named('uuid').hasValue()",
    "!format.dns1035Label().validate('a1').hasValue() && format.dns1035Label().validate('1a').hasValue()",
    "!format.dns1123Subdomain().validate('a.b').hasValue()",
    "!format.dns1035LabelPrefix().validate('a-').hasValue()",
    "!format.dns1123SubdomainPrefix().validate('a.b-').hasValue()",
    "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'",
    "type(ip('::1')) == net.IP",
    "type(cidr('::/0')) == net.CIDR && type(quantity('1')) == kubernetes.Quantity",
]


@pytest.mark.parametrize("source", [*STRINGS, *LISTS, *REGEX_AND_URL, *KUBERNETES])
def test_library_call_holds(source: str) -> None:
    assert value_of(source) is True


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("'hello'.charAt(6)", "index out of range: 6"),
        ("'hello'.indexOf('l', 5)", "index out of range: 5"),
        ("'hello'.lastIndexOf('l', -1)", "index out of range: -1"),
        ("'hello'.substring(6)", "index out of range: 6"),
        ("'hello'.substring(3, 1)", "invalid substring range. start: 3, end: 1"),
        (
            "'%d'.format(['a'])",
            "error during formatting: decimal clause can only be used on integers, was given string",
        ),
        ("'%s'.format([])", "index 0 out of range"),
        ("'%q'.format([1])", 'could not parse formatting clause: unrecognized formatting clause "q"'),
        ("[].map(x, 1).min()", "min called on empty list"),
        ("[9223372036854775807, 1].sum()", "integer overflow"),
        ("[1].slice(0, 2)", "cannot slice(0, 2), list is length 1"),
        ("[1].slice(-1, 1)", "cannot slice(-1, 1), negative indexes not supported"),
        ("'a'.find('(')", "error parsing regexp: missing ): ("),
        ("url('no')", 'URL parse error during conversion from string: parse "no": invalid URI for request'),
        (
            "quantity('x')",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("quantity('50m').asInteger()", "cannot convert value to integer"),
        ("ip('::ffff:1.2.3.4')", 'IPv4-mapped IPv6 address "::ffff:1.2.3.4" is not allowed'),
        ("ip('fe80::1%eth0')", 'IP address "fe80::1%eth0" with zone value is not allowed'),
        ("semver('1.2')", "No Major.Minor.Patch elements found"),
        ("semver('1.2-rc', true)", "short version cannot contain PreRelease/Build meta data"),
        ("[dyn(1), 'a'].sum()", "no such overload"),
        ("[dyn(1), 'a'].sort()", "list elements must have the same type"),
    ],
)
def test_library_call_fails(source: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value_of(source)
    assert str(caught.value) == message


def test_methods_on_values_of_unknown_type_are_chosen_by_the_value() -> None:
    assert value_of("d.a.indexOf('b') == 1 && d.b.indexOf(2) == 1", {"d": {"a": "abc", "b": [1, 2]}}) is True
    assert value_of("d.reverse() == 'cba'", {"d": "abc"}) is True
    assert value_of("d.reverse() == [2, 1]", {"d": [1, 2]}) is True


def test_a_namespace_of_functions_is_not_a_variable() -> None:
    with pytest.raises(CelError, match="undeclared reference to 'nope'"):
        value_of("sets.nope([1])")
    with pytest.raises(CelError, match="undeclared reference to 'sets'"):
        value_of("sets")


def test_faults_of_a_format_are_strings() -> None:
    faults = to_json(value_of("format.dns1123Label().validate('-').orValue([])"))
    assert faults
    assert all(isinstance(fault, str) for fault in faults)
