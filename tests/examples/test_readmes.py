"""What the READMEs of the examples show is executed literally, and prints what they say it prints."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
READMES = sorted(readme for readme in EXAMPLES.glob("*/README.md") if "```python" in readme.read_text())
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)\)")


def executed(code: str, name: str) -> str:
    """What a block prints when it is run as a program."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, name, "exec"), {"__name__": "__main__", "__file__": name})
    return output.getvalue()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("readme", READMES, ids=lambda readme: readme.parent.name)
def test_a_readme_s_code_is_the_example_and_prints_what_the_readme_says(
    readme: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "KAFKA_SERVERS" in readme.read_text():
        monkeypatch.setenv("KAFKA_SERVERS", request.getfixturevalue("broker").address)
    (python, code), (text, printed) = BLOCK.findall(readme.read_text())
    assert (python, text) == ("python", "text")
    assert code == (readme.parent / f"{readme.parent.name}.py").read_text()
    found = executed(code, str(readme))
    checker = doctest.OutputChecker()
    assert checker.check_output(printed, found, doctest.ELLIPSIS), f"it prints\n{found}"


def test_every_example_has_a_readme_and_stands_in_the_list() -> None:
    folders = {path.parent.name for path in EXAMPLES.glob("*/*.py") if path.name != "__init__.py"}
    listed = (EXAMPLES / "README.md").read_text()
    assert {name for name in folders if f"({name}/" not in listed} == set()
    assert {readme.parent.name for readme in READMES} >= folders - {"hello", "orders", "rq_project"}


@pytest.mark.parametrize(
    "readme", sorted(EXAMPLES.glob("**/README.md")), ids=lambda readme: str(readme.relative_to(EXAMPLES))
)
def test_links_of_a_readme_lead_somewhere(readme: Path) -> None:
    targets = [target for target in LINK.findall(readme.read_text()) if "://" not in target]
    assert [target for target in targets if not (readme.parent / target).exists()] == []
