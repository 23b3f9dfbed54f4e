"""The page about the signed record: its modules against test vectors and our own package, and what readers see."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, FilePayload, Page, expect

from gateway.page_composition import PROOF_TEXTS, TEXTS
from gateway.transparency.checkpoint import Checkpoint
from gateway.transparency.note import Note, Signature
from gateway.transparency.proof_file import ProofFile
from tests.counts import variants
from tests.web.browsing import BARE, needs_chromium, session_loop, visiting
from tests.web.signed_door import (
    ELECTION,
    LOG,
    NAME,
    ORIGIN,
    OTHER,
    REPORTS,
    UNIT,
    WITNESSES,
    SignedDoor,
    SignedRecord,
    a_report,
    lines_changed,
    signed_door,
)

pytestmark = pytest.mark.long

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "proof-vectors" / "inclusion"
OWN_KEYS = "\n".join(map(str, [LOG.vkey, *(each.vkey for each in WITNESSES)]))
SIZE_MAX = 384 * 1024

INCLUSIONS = """async (vectors) => {
    const { isIncluded } = await import("/static/0/merkle.js");
    const decoded = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
    return Promise.all(vectors.map(({ index, size, leaf, proof, root }) =>
        isIncluded(BigInt(index), BigInt(size), decoded(leaf), proof.map(decoded), decoded(root))));
}"""
CHECKED = """async ([files, keys]) => {
    const { checkProof } = await import("/static/0/proof_check.js");
    const { readTrust } = await import("/static/0/trust.js");
    const check = async (file) => {
        try {
            const bytes = Uint8Array.from(atob(file), (each) => each.charCodeAt(0));
            return (await checkProof(bytes, await readTrust(keys))).problems.map(({ code }) => code);
        } catch (error) {
            if (!error.code) throw error;
            return [error.code];
        }
    };
    return Promise.all(files.map(check));
}"""
"""Returns the codes of what is wrong with proof files."""
TRUSTED = """async (texts) => {
    const { readTrust } = await import("/static/0/trust.js");
    const read = async (text) => {
        try {
            const { logs, witnesses, hasQuorum } = await readTrust(text);
            return [logs.length, witnesses.length, hasQuorum];
        } catch (error) {
            if (!error.code) throw error;
            return error.code;
        }
    };
    return Promise.all(texts.map(read));
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def door() -> AsyncIterator[SignedDoor]:
    async with signed_door() as door:
        yield door


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def modules(browser: Browser, door: SignedDoor) -> AsyncIterator[Page]:
    """A tab in which modules are imported."""
    async with visiting(browser) as visitor:
        yield await visitor.open(f"{door.url}{BARE}")


async def checked(page: Page, *files: bytes, keys: str = OWN_KEYS) -> list[list[str]]:
    encoded = [base64.b64encode(each).decode() for each in files]
    found: list[list[str]] = await page.evaluate(CHECKED, [encoded, keys])
    return found


def a_vector(path: Path) -> tuple[dict[str, Any], bool]:
    """Return the arguments of a proof, and whether it is right."""
    vector = json.loads(path.read_text())
    arguments = {
        "index": str(vector["leafIdx"]),
        "size": str(vector["treeSize"]),
        "leaf": vector["leafHash"] or "",
        "proof": vector["proof"] or [],
        "root": vector["root"] or "",
    }
    return arguments, not vector["wantErr"]


# The modules.


@pytest.mark.skipif(not VECTORS.exists(), reason="the test vectors are not beside the project (../shared)")
@needs_chromium
async def test_inclusion_proofs_get_the_verdicts_of_the_test_vectors(modules: Page) -> None:
    vectors = [a_vector(path) for path in sorted(VECTORS.rglob("*.json"))]
    assert len(vectors) > 50
    found = await modules.evaluate(INCLUSIONS, [arguments for arguments, _ in vectors])
    assert found == [right for _, right in vectors]


@needs_chromium
async def test_proofs_of_our_own_package_are_verified(modules: Page) -> None:
    """Of every entry of trees of several sizes, with one key and with several."""
    files = []
    for reports in (1, 2, 7, 8, 20):
        record = SignedRecord(reports)
        note = record.note(record.log, OTHER)
        files += [record.proof(index, note).encode() for index in range(1, record.tree.size)]
    assert await checked(modules, *files, keys=str(LOG.vkey)) == [[]] * len(files)
    assert await checked(modules, *files, keys=f"{OTHER.vkey}\n\n# of both\n{OWN_KEYS}") == [[]] * len(files)


def faults() -> dict[str, tuple[bytes, list[str]]]:
    """Return proof files each with one fault, and the codes that this must give."""
    record, note = SignedRecord(), SignedRecord().note()
    proof = record.proof(5, note)
    first, *others = note.signatures
    changed = msgspec.json.encode(a_report(5, status="final"), order="sorted")
    flipped = bytes([first.signature[0] ^ 1]) + first.signature[1:]
    cosigned = bytearray(others[0].signature)
    cosigned[7] ^= 1  # its time
    not_a_report = record.add(b'{"entry":"closing/1"}')
    end = record.note()
    foreign = SignedRecord(origin="results.example.no/live/ko-2027")

    def with_(**changes: Any) -> bytes:
        return msgspec.structs.replace(proof, **changes).encode()

    def signed(*signatures: Signature) -> bytes:
        return with_(note=Note(note.text, signatures))

    size_off = Checkpoint(ORIGIN, record.tree.size, SignedRecord().tree.root()).signed_by(LOG)

    def last_in(note: Note) -> ProofFile:
        """Other entries may have the same proof in trees of two sizes."""
        return SignedRecord().proof(REPORTS, note)

    return {
        "another report": (with_(extra=changed), ["notIncluded"]),
        "another index": (with_(index=6), ["notIncluded"]),
        "an index beyond the tree": (with_(index=500), ["notIncluded"]),
        "one hash too many": (with_(hashes=(*proof.hashes, bytes(32))), ["notIncluded"]),
        "one hash too few": (with_(hashes=proof.hashes[:-1]), ["notIncluded"]),
        "64 hashes": (with_(hashes=proof.hashes * 16), ["tooManyHashes"]),
        "a size off by one": (last_in(size_off).encode(), ["notIncluded"]),
        "another key of the same name": (with_(note=record.note(OTHER)), ["notIncluded", "notSigned"]),
        "a changed signature": (signed(first._replace(signature=flipped), *others), ["badSignature"]),
        "a changed signature beside the right one": (
            signed(first, first._replace(signature=flipped), *others),
            ["badSignature"],
        ),
        "a short signature": (signed(first._replace(signature=b"12345678")), ["badSignature"]),
        "the time of a cosignature": (
            signed(first, others[0]._replace(signature=bytes(cosigned)), others[1]),
            ["badCosignature"],
        ),
        "a cosignature without a time": (
            signed(first, others[0]._replace(signature=b"1")),
            ["badCosignature"],
        ),
        "another log": (foreign.proof(5).encode(), ["otherLog"]),
        "no report": (with_(extra=None), ["noReport"]),
        "an entry that is no report": (record.proof(not_a_report, end).encode(), ["badReport"]),
        "figures that are no numbers": (
            with_(extra=b'{"unit":"1","counts":{"a":{"votes":null}}}'),
            ["badReport"],
        ),
        "101 signatures": (signed(*[first] * 101), ["notACheckpoint"]),
        "another first line": (b"x" + proof.encode(), ["notAProof"]),
        "a byte order mark": (b"\xef\xbb\xbf" + proof.encode(), ["notAProof"]),
        "bytes that are not UTF-8": (proof.encode() + b"\xff", ["notAProof"]),
        "no checkpoint": (proof.encode().partition(b"\n\n")[0], ["cutOff"]),
        "carriage returns": (proof.encode().replace(b"\n", b"\r\n"), ["lineEnds"]),
        "a carriage return": (proof.encode()[:-1] + b"\r\n", ["notACheckpoint"]),
        "an index with a zero in front": (proof.encode().replace(b"index 5", b"index 05"), ["badLine"]),
        "a file of zeros": (bytes(1000), ["notAProof"]),
        "a file that is too large": (proof.encode() + bytes(SIZE_MAX), ["tooLarge"]),
        "nothing": (b"", ["notAProof"]),
    }


@needs_chromium
async def test_each_fault_of_a_proof_file_is_named(modules: Page) -> None:
    """And the same file without the fault passes."""
    named = faults()
    found = await checked(modules, *(content for content, _ in named.values()))
    assert dict(zip(named, found, strict=True)) == {name: codes for name, (_, codes) in named.items()}
    assert await checked(modules, SignedRecord().proof(5).encode()) == [[]]


@needs_chromium
async def test_no_file_with_a_line_less_is_verified(modules: Page) -> None:
    """Except without a line of a witness, where none is required; a policy requires it."""
    encoded = SignedRecord().proof(5).encode()
    files = list(lines_changed(encoded))
    found = await checked(modules, *files)
    assert [index for index, codes in enumerate(found) if not codes] == [len(files) - 2, len(files) - 1]
    policy = f"log {LOG.vkey}\nwitness a {WITNESSES[0].vkey}\nwitness b {WITNESSES[1].vkey}\n"
    policy += "group both all a b\nquorum both"
    assert all(await checked(modules, *files, keys=policy))
    assert await checked(modules, encoded, keys=policy) == [[]]
    for quorum in ("any a b", "1 a b"):
        met = await checked(modules, *files[-2:], keys=policy.replace("all a b", quorum))
        assert met == [[], []]


@needs_chromium
async def test_keys_and_policies_are_read_or_refused(modules: Page) -> None:
    log, first, second = str(LOG.vkey), *(str(each.vkey) for each in WITNESSES)
    cases: dict[str, Any] = {
        log: [1, 0, False],
        f"\t{log}  \r\n\n# witnesses\n{first}\n{second}": [1, 2, False],
        f"log {log}\nquorum none": [1, 0, True],
        f"log {log} https://x.example\nwitness a {first} https://w.example\nquorum a": [1, 1, True],
        "": "noLogKey",
        first: "noLogKey",
        f"log {log}": "noQuorum",
        f"log {log}\nquorum a": "badPolicy",
        f"log {log}\nquorum none\nquorum none": "badPolicy",
        f"log {log}\nlog {log}\nquorum none": "badPolicy",
        f"log {first}\nquorum none": "badPolicy",
        f"log {log}\nwitness a {first}\ngroup g 2 a\nquorum g": "badPolicy",
        f"log {log}\nwitness a {first}\ngroup g 0 a\nquorum g": "badPolicy",
        f"log {log}\nwitness a {first}\ngroup g any a a\nquorum g": "badPolicy",
        f"log {log}\nwitness none {first}\nquorum none": "badPolicy",
        f"log {log}\nrule\nquorum none": "badPolicy",
        "hello": "notAKey",
        log[:-4]: "damagedKey",
        log.replace("results", "result"): "damagedKey",
        "x\n" * 1000: "tooManyKeys",
        "x" * 100_000: "tooManyKeys",
    }
    found = await modules.evaluate(TRUSTED, list(cases))
    assert dict(zip(cases, found, strict=True)) == cases


# The page.


def a_file(content: bytes, name: str = f"{UNIT}-5.tlog-proof") -> FilePayload:
    return {"name": name, "mimeType": "", "buffer": content}


async def opened(browser_page: Page) -> Page:
    await expect(browser_page.locator("#proof-form")).to_be_visible()
    return browser_page


@needs_chromium
async def test_the_page_says_how_old_the_newest_checkpoint_is_and_who_agrees(
    browser: Browser, door: SignedDoor
) -> None:
    """In the clock of the server, with the root hash, the keys and their fingerprints."""
    async with visiting(browser) as visitor:
        page = await visitor.open(f"{door.url}/verify?election={ELECTION}")
        sentence = page.locator("#sentence")
        await expect(sentence).to_have_class("sentence good")
        await expect(sentence).to_contain_text(
            f"The signature covers all {REPORTS} reports. 2 of 2 witnesses agree."
        )
        await expect(page.locator("#history")).to_be_hidden()
        await expect(page.locator("#root-hash")).to_have_text(door.note.text.split("\n")[2])
        await expect(page.locator("#keys-section")).to_contain_text("proves nothing")
        for key in (LOG, *WITNESSES):
            await expect(page.locator("#key-list")).to_contain_text(str(key.vkey))
            await expect(page.locator("#key-list")).to_contain_text(key.vkey.fingerprint)
        await expect(page.locator("#how-record code")).to_have_text(
            f"valgnatt verify record '{door.url}/v1/elections/{ELECTION}' --key log.vkey"
        )
        assert not visitor.errors
        assert not visitor.requests_elsewhere(door.url)


def late(door: SignedDoor) -> None:
    door.published += 1
    door.signed_at -= timedelta(minutes=5)
    door.published_at -= timedelta(minutes=4)


def just_published(door: SignedDoor) -> None:
    door.published += 1
    door.signed_at -= timedelta(minutes=5)


def no_checkpoint(door: SignedDoor) -> None:
    door.has_checkpoint = False


def no_checkpoint_for_long(door: SignedDoor) -> None:
    door.has_checkpoint = False
    door.published_at -= timedelta(minutes=4)


def one_witness_missing(door: SignedDoor) -> None:
    door.note = door.record.note(witnesses=WITNESSES[:1])


def silent_witnesses(door: SignedDoor) -> None:
    at = int(datetime.now(UTC).timestamp()) - 600
    door.note = door.record.note(at=at)


def quiet(door: SignedDoor) -> None:
    silent_witnesses(door)
    door.signed_at -= timedelta(hours=25)


def no_witnesses(door: SignedDoor) -> None:
    door.witnesses = ()


def another_key(door: SignedDoor) -> None:
    door.note = door.record.note(OTHER)


def not_signed(door: SignedDoor) -> None:
    door.is_signed = False


def under_embargo(door: SignedDoor) -> None:
    door.published = 0
    door.record = SignedRecord(0)
    door.note = door.record.note()


def malformed(door: SignedDoor) -> None:
    door.note = Note(door.note.text, (Signature("a b", b"1234", b"5"),))


SENTENCES = {
    malformed: ("bad", "not signed correctly"),
    late: ("bad", "does not cover 1 published report."),
    just_published: ("good", "12 reports; 1 to come."),
    no_checkpoint: ("waits", "There is no checkpoint yet."),
    no_checkpoint_for_long: ("bad", "There is no checkpoint, although 12 reports can be read."),
    quiet: ("good", "2 of 2 witnesses agree."),
    one_witness_missing: ("waits", "1 of 2 witnesses agrees."),
    silent_witnesses: ("waits", "The witnesses last agreed 10 min"),
    no_witnesses: ("good", "No witness is configured."),
    another_key: ("bad", "not signed correctly"),
    not_signed: ("waits", "The figures of this election are not signed."),
    under_embargo: ("good", "covers only the opening"),
}


@needs_chromium
async def test_the_page_says_in_one_sentence_what_is_wrong(browser: Browser) -> None:
    """And that a record was begun again."""
    async with visiting(browser) as visitor:
        for change in variants(SENTENCES, late, just_published):
            kind, words = SENTENCES[change]
            async with signed_door() as changed:
                changed.history = 2
                change(changed)
                page = await visitor.open(f"{changed.url}/verify")
                await expect(page.locator("#sentence")).to_contain_text(words)
                await expect(page.locator("#sentence")).to_have_class(f"sentence {kind}")
                if changed.is_signed:
                    await expect(page.locator("#history")).to_contain_text("This is history number 2")
                await page.close()
        assert not [each for each in visitor.errors if "404" not in each]


@needs_chromium
async def test_a_proof_is_verified_in_the_browser(browser: Browser, door: SignedDoor) -> None:
    """With the reader's own keys; with those of the door, the page says that this proves nothing. Nothing is sent."""
    proof = door.record.proof(5).encode()
    async with visiting(browser) as visitor:
        page = await opened(await visitor.open(f"{door.url}/verify"))
        result = page.locator("#proof-result")
        await page.locator("#file").set_input_files(a_file(proof))
        await expect(result.locator(".sentence")).to_have_class("sentence waits")
        await expect(result).to_contain_text("only the key from this page was used")
        before = len([each for each in visitor.requests if "/v1/" not in each])
        await page.locator("#keys").fill(OWN_KEYS)
        await expect(result.locator(".sentence")).to_have_class("sentence good")
        await expect(result.locator(".sentence")).to_have_text(
            f"Verified: revision 5 of {NAME} is in the record."
        )
        await expect(result).to_contain_text(f"entry 5 of a tree with {REPORTS + 1} entries")
        await expect(result.locator(".steps .good")).to_have_count(4)
        await expect(result).to_contain_text("Election day")
        await expect(result.locator("tbody tr", has_text="Approved ballots")).to_contain_text("1,239")
        await page.locator("#file").set_input_files(a_file(proof.replace(b"index 5", b"index 6")))
        await expect(result.locator(".sentence")).to_have_class("sentence bad")
        await expect(result.locator(".sentence")).to_contain_text(
            "Not verified. The report is not in the tree"
        )
        await page.locator("#language").select_option("nn")
        await expect(result.locator(".sentence")).to_contain_text("Ikkje stadfesta.")
        assert (
            len([each for each in visitor.requests if "/v1/" not in each]) <= before + 3
        )  # texts in nynorsk
        assert not visitor.errors


DROP = """(files) => {
    const dataTransfer = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name));
    }
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
}"""


@needs_chromium
async def test_files_may_be_dropped_anywhere_on_the_page(browser: Browser, door: SignedDoor) -> None:
    content = base64.b64encode(door.record.proof(3).encode()).decode()
    async with visiting(browser) as visitor:
        page = await opened(await visitor.open(f"{door.url}/verify"))
        await page.evaluate(DROP, [["a.tlog-proof", content], ["b.tlog-proof", content]])
        await expect(page.locator("#proof-result")).to_contain_text("Drop one file at a time.")
        await page.evaluate(DROP, [["a.tlog-proof", content]])
        await expect(page.locator("#proof-result")).to_contain_text(f"Revision 3 of {NAME} is included")
        large = base64.b64encode(bytes(SIZE_MAX + 1)).decode()
        await page.evaluate(DROP, [["large", large]])
        await expect(page.locator("#proof-result")).to_contain_text("too large for a proof")
        await page.evaluate(DROP, [])
        await page.locator("#keys").fill("abc")
        await page.evaluate(DROP, [["a.tlog-proof", content]])
        await expect(page.locator("#proof-result")).to_contain_text("This is not a key: abc")
        assert not visitor.errors


NO_ED25519 = """const { importKey } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...others) {
        if (algorithm.name === "Ed25519") return Promise.reject(new DOMException("", "NotSupportedError"));
        return importKey.call(this, format, key, algorithm, ...others);
    };"""
INSECURE = "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });"
CANNOT_VERIFY = [(NO_ED25519, "cannot verify Ed25519 signatures"), (INSECURE, "not opened over HTTPS")]


@needs_chromium
@pytest.mark.parametrize(
    ("script", "words"),
    variants(CANNOT_VERIFY, CANNOT_VERIFY[0]),
    ids=variants(["without Ed25519", "over HTTP"], "without Ed25519"),
)
async def test_where_the_browser_cannot_verify_the_page_says_so_and_names_the_command(
    browser: Browser, door: SignedDoor, script: str, words: str
) -> None:
    """The state of the record is shown nevertheless, with that the signatures were not verified."""
    async with visiting(browser) as visitor:
        await (await visitor.own_profile()).add_init_script(script)
        page = await visitor.open(f"{door.url}/verify")
        await expect(page.locator("#lacking")).to_contain_text(words)
        await expect(page.locator("#lacking code")).to_contain_text("valgnatt verify receipt")
        await expect(page.locator("#proof-form")).to_be_hidden()
        await expect(page.locator("#sentence")).to_contain_text(
            "This browser has not verified the signatures."
        )
        await expect(page.locator("#key-list li")).to_have_count(3)
        assert not visitor.errors


@needs_chromium
async def test_the_page_is_accessible_and_used_with_a_keyboard(browser: Browser, door: SignedDoor) -> None:
    """In the dark and on a phone, with a result; nothing is wider than the window."""
    options: dict[str, Any] = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}
    async with visiting(browser, **options) as visitor:
        page = await opened(await visitor.open(f"{door.url}/verify"))
        await page.locator("#keys").focus()
        await page.keyboard.press("Tab")
        await expect(page.locator("#file")).to_be_focused()
        for content in variants((door.record.proof(5).encode(), b"no proof"), door.record.proof(5).encode()):
            await page.locator("#file").set_input_files(a_file(content))
            await expect(page.locator("#proof-result .sentence")).to_be_visible()
            await page.evaluate(AXE_SCRIPT)
            found = await page.evaluate(
                "axe.run(document).then(({ violations }) => violations.map(({ id }) => id))"
            )
            assert found == []
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not visitor.errors


@session_loop
async def test_the_texts_exist_in_every_language() -> None:
    assert sorted(path.name for path in PROOF_TEXTS.iterdir()) == sorted(
        path.name for path in TEXTS.iterdir()
    )
