"""Policies: read within bounds, mistakes with their line, and which witnesses are a quorum."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.cosignature import cosign
from gateway.transparency.ed25519 import SigningKey
from gateway.transparency.note import COSIGNATURE, ED25519, BadSignature, MalformedNote, Note, Signature
from gateway.transparency.policy import (
    POLICY_MAX,
    Agreement,
    MalformedTrustPolicy,
    Policy,
    encode_policy,
    parse_policy,
    quorum_of,
)
from tests.counts import examples

ORIGIN = "results.example.no/live/st-2025"
LOG = SigningKey(ORIGIN, ED25519, b"l" * 32)
W = [SigningKey(f"w{number}.example.org", COSIGNATURE, bytes([number]) * 32) for number in range(6)]
CHECKPOINT = Checkpoint(ORIGIN, 7, b"r" * 32)
NOW = 1_800_000_000
TWO_LEVELS = f"""
log {LOG.vkey}

witness X1 {W[0].vkey}
witness X2 {W[1].vkey} https://x2.example.org/
  witness\tX3  {W[2].vkey}\t
# a comment: größer
\t# another
group X-witnesses 2 X1 X2 X3

witness Y1 {W[3].vkey}
witness Y2 {W[4].vkey}
witness Y3 {W[5].vkey}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
""".encode()
"""The example of the specification."""


def cosigned(*at: tuple[int, int]) -> Note:
    """A checkpoint with cosignatures of the witnesses with these numbers, at these times."""
    note = CHECKPOINT.signed_by(LOG)
    return Note(note.text, (*note.signatures, *(cosign(W[number], note.text, time) for number, time in at)))


def test_the_example_of_the_specification() -> None:
    """At least two of the first three witnesses, and one of the others."""
    policy = parse_policy(TWO_LEVELS)
    names = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert list(policy.witnesses) == names
    assert policy.witnesses["X2"].url == "https://x2.example.org/"
    for number in range(7):
        for some in combinations(range(6), number):
            expected = sum(each < 3 for each in some) >= 2 and any(each >= 3 for each in some)
            assert policy.agrees([names[each] for each in some]) is expected
            assert policy.agrees([*(names[each] for each in some), "stranger", "X-and-Y"]) is expected
    assert policy.met(cosigned((0, 1), (2, 1), (4, 1)))
    assert not policy.met(cosigned((0, 1), (1, 1), (2, 1)))


def test_a_policy_is_read_as_it_was_written() -> None:
    policy = parse_policy(TWO_LEVELS)
    assert parse_policy(encode_policy(policy)) == policy
    assert parse_policy(encode_policy(Policy.of_keys([LOG.vkey]))) == Policy.of_keys([LOG.vkey])


def test_names_are_bytes() -> None:
    """Also those that are not UTF-8; the Kelvin sign is not the letter K."""
    data = b"".join(
        b"witness %s %s\n" % (name, str(key.vkey).encode())
        for name, key in zip((b"K", "\u212a".encode(), b"\xff"), W, strict=False)
    )
    policy = parse_policy(data + b"quorum \xff\n")
    assert len(policy.witnesses) == 3
    assert policy.agrees([name for name in policy.witnesses if name not in ("K", "\u212a")])
    assert not policy.agrees(["K", "\u212a"])
    assert parse_policy(encode_policy(policy)) == policy


def test_keys_alone_need_no_witness() -> None:
    agreement = Policy.of_keys([LOG.vkey]).check(cosigned())
    assert agreement == Agreement(CHECKPOINT, (LOG.vkey,), {}, frozenset(), 0, True, True)
    assert agreement.sentence == "witnesses 0 of 0"
    assert parse_policy(b"quorum none").agrees([])


def test_old_cosignatures_do_not_count() -> None:
    """Nor those from the future; the result says whether age is the reason."""
    policy = parse_policy(
        f"log {LOG.vkey}\nwitness a {W[0].vkey}\nwitness b {W[1].vkey}\ngroup g all a b\nquorum g\n".encode()
    )
    for at, fresh in (
        (NOW, True),
        (NOW - 120, True),
        (NOW + 120, True),
        (NOW - 121, False),
        (NOW + 121, False),
    ):
        agreement = policy.check(cosigned((0, NOW), (1, at)), now=NOW, max_age_s=120)
        assert (agreement.met, agreement.met_at_any_time) == (fresh, True)
        assert agreement.sentence == ("witnesses 2 of 2" if fresh else "witnesses 1 of 2 (1 stale)")
        assert agreement.cosigned == {"a": NOW, "b": at}
    alone = policy.check(cosigned((0, NOW)), now=NOW, max_age_s=120)
    assert (alone.met, alone.met_at_any_time, alone.sentence) == (False, False, "witnesses 1 of 2")


def test_the_newest_cosignature_of_a_witness_counts_once() -> None:
    policy = parse_policy(
        f"log {LOG.vkey}\nwitness a {W[0].vkey}\nwitness b {W[1].vkey}\ngroup g all a b\nquorum g\n".encode()
    )
    agreement = policy.check(cosigned((0, 5), (0, 9), (0, 7)))
    assert agreement.cosigned == {"a": 9}
    assert not agreement.met


def test_cosignatures_of_strangers_do_not_count_and_false_ones_are_refused() -> None:
    policy = parse_policy(f"log {LOG.vkey}\nwitness a {W[0].vkey}\nquorum a\n".encode())
    assert not policy.met(cosigned((1, NOW)))
    (_, true) = cosigned((0, NOW)).signatures
    impostor = SigningKey(W[0].vkey.name, COSIGNATURE, b"i" * 32)
    stranger = cosign(impostor, CHECKPOINT.text(), NOW)
    note = cosigned()
    assert not policy.met(Note(note.text, (*note.signatures, stranger)))
    for wrong in (stranger._replace(key_id=true.key_id), Signature(true.name, true.key_id, bytes(72))):
        with pytest.raises(BadSignature, match="is not valid"):
            policy.check(Note(note.text, (*note.signatures, true, wrong)))
    with pytest.raises(MalformedNote, match="must have 72 bytes"):
        policy.check(Note(note.text, (*note.signatures, Signature(true.name, true.key_id, b"12345"))))
    with pytest.raises(BadSignature, match="no key that is trusted"):
        policy.check(Note(note.text, (true,)))


def test_a_note_costs_one_verification_per_known_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of unknown keys cost none, so 100 lines cost at most 100."""
    calls: list[bytes] = []

    def counted_verify(public: bytes, message: bytes, signature: bytes) -> bool:
        calls.append(public)
        return True

    monkeypatch.setattr("gateway.transparency.checkpoint.verify", counted_verify)
    monkeypatch.setattr("gateway.transparency.cosignature.verify", counted_verify)
    policy = parse_policy(TWO_LEVELS)
    note = cosigned((0, 1), (1, 1))
    strange = [Signature(f"s{number}.example.org", b"1234", bytes(72)) for number in range(97)]
    policy.check(Note(note.text, (*note.signatures, *strange)))
    assert len(calls) == 3


MISTAKES = {
    b"": "the policy has no line “quorum NAME”",
    b"quorum none\nquorum none\n": "line 2: a second quorum",
    b"quorum a\n": "line 1: no witness and no group “a” is defined above",
    b"log x\n": "line 1: not a key",
    b"quorums none\n": "line 1: not a line",
    b"Quorum none\n": "line 1: not a line",
    b"quorum none none\n": "line 1: not a line",
    b"quorum\n": "line 1: not a line",
    b"log\n": "line 1: not a line",
    b"quorum none\r\n": "line 1: a control character",
    b"\xef\xbb\xbfquorum none\n": "line 1: not a line",
    b"\n\n\0\n": "line 3: a control character",
    b"quorum none \x7f": "line 1: a control character",
    b"witness none VKEY0\n": "line 1: the name “none” is taken",
    b"witness a VKEY0\nwitness a VKEY1\n": "line 2: the name “a” is taken",
    b"witness a VKEY0\nwitness b VKEY0\n": "line 2: an earlier witness has the same key",
    b"log LOG\nlog LOG\n": "line 2: an earlier log has the same key",
    b"log VKEY0\n": "line 1: the key of a log must have the type 0x01, not 0x04",
    b"witness a LOG\n": "line 1: the key of a witness must have the type 0x04, not 0x01",
    b"witness a VKEY0 url more\n": "line 1: not a line",
    b"witness a VKEY0\ngroup a any a\n": "line 2: the name “a” is taken",
    b"witness a VKEY0\ngroup g any\n": "line 2: not a line",
    b"witness a VKEY0\ngroup g any none\n": "line 2: no witness and no group “none”",
    b"witness a VKEY0\ngroup g any g\n": "line 2: no witness and no group “g”",
    b"witness a VKEY0\ngroup g any a a\n": "line 2: “a” is already a member of a group",
    b"witness a VKEY0\ngroup g any a\ngroup h any a\n": "line 3: “a” is already a member of a group",
    b"witness a VKEY0\ngroup g 0 a\n": "line 2: a group needs all, any or a number from 1 to 1",
    b"witness a VKEY0\ngroup g 2 a\n": "line 2: a group needs all, any or a number from 1 to 1",
    b"witness a VKEY0\ngroup g 01 a\n": "line 2: a group needs",
    b"witness a VKEY0\ngroup g +1 a\n": "line 2: a group needs",
    b"witness a VKEY0\ngroup g 99999999999999999999 a\n": "line 2: a group needs",
    "witness a VKEY0\ngroup g ١ a\n".encode(): "line 2: a group needs",
    b"quorum b\nwitness b VKEY0\n": "line 1: no witness and no group “b”",
    b"quorum \xff\n": "line 1: no witness and no group '",
}


@pytest.mark.parametrize("data", MISTAKES, ids=str)
def test_a_mistake_is_named_with_its_line(data: bytes) -> None:
    filled = data.replace(b"LOG", str(LOG.vkey).encode())
    for number, key in enumerate(W):
        filled = filled.replace(b"VKEY%d" % number, str(key.vkey).encode())
    with pytest.raises(MalformedTrustPolicy) as caught:
        parse_policy(filled)
    assert str(caught.value).startswith(MISTAKES[data])
    str(caught.value).encode()


def test_policies_are_bounded() -> None:
    """256 witnesses, logs and groups are read (C2SP recommends at least 32), no more, and no more than 256 KiB."""
    keys = [SigningKey(f"w{number}", COSIGNATURE, number.to_bytes(32, "big")).vkey for number in range(257)]
    lines = [f"witness w{number} {key}\n" for number, key in enumerate(keys)]
    groups = [f"group g{number} any w{number}\n" for number in range(256)]
    policy = parse_policy(("".join(lines[:256] + groups) + "quorum g255").encode())
    assert policy.agrees(["w255"])
    assert not policy.agrees([f"w{number}" for number in range(255)])
    with pytest.raises(MalformedTrustPolicy, match="line 257: more than 256 witnesses"):
        parse_policy("".join(lines).encode())
    with pytest.raises(MalformedTrustPolicy, match="line 513: more than 256 groups"):
        parse_policy(("".join(lines[:256] + groups) + "group more any g1\n").encode())
    with pytest.raises(MalformedTrustPolicy, match="must not exceed 262144 bytes"):
        parse_policy(b"#" * POLICY_MAX + b"\n")
    assert parse_policy(b"\n" * (POLICY_MAX - 11) + b"quorum none").quorum == "none"
    with pytest.raises(MalformedTrustPolicy, match="no witness and no group"):
        parse_policy(b"group g any" + b" x" * 100_000)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from("log witness group quorum none any all a b 1 2 \n\t#+"), max_size=80).map(
        str.encode
    )
)
def test_any_bytes_are_a_policy_or_a_mistake(data: bytes) -> None:
    try:
        policy = parse_policy(data)
    except MalformedTrustPolicy:
        return
    assert parse_policy(encode_policy(policy)) == policy


@pytest.mark.parametrize(
    ("witnesses", "dishonest", "needed"), [(1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 1, 3), (7, 2, 5)]
)
def test_a_quorum_rules_out_a_split_view(witnesses: int, dishonest: int, needed: int) -> None:
    """Two quorums have an honest witness in common; one witness fewer would not suffice."""
    assert quorum_of(witnesses, dishonest) == needed
    assert 2 * needed - witnesses > dishonest
    assert 2 * (needed - 1) - witnesses <= dishonest
