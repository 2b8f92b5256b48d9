"""The documentation's site has the shape of the repository: what a page links to is where it is in a checkout.

MkDocs serves one folder; our pages also lead to the first page, to examples and to files to deploy with. So the files of the
site are taken from the root, and a link to a folder is one to its README. Called by MkDocs (mkdocs.yml).
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent
SHOWN = ("*.md", "LICENSE", "docs/**/*.md", "examples/**/*", "deploy/**/*")
FOLDER_LINK = re.compile(r"\]\((?P<folder>[^):#]*/)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the files of the repository in the place of those of docs/."""
    for file in list(files.documentation_pages()):
        files.remove(file)
    for name in shown():
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for folder, names in folders_without_readme().items():
        listing = "".join(f"- [{name}]({name})\n" for name in names)
        files.append(File.generated(config, f"{folder}/README.md", content=f"# {folder}\n\n{listing}"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to folders lead to their README."""
    here = dirname(page.file.src_uri)

    def resolved(link: re.Match[str]) -> str:
        readme = join(link["folder"], "README.md")
        return f"]({readme})" if files.get_file_from_path(normpath(join(here, readme))) else link[0]

    return FOLDER_LINK.sub(resolved, markdown)


def folders_without_readme() -> dict[str, list[str]]:
    """What is in those folders of deploy/ that bring no README: a folder ends with a slash."""
    names = [name for name in shown() if name.startswith("deploy/")]
    found: dict[str, list[str]] = {}
    for folder in sorted({parent.as_posix() for name in names for parent in Path(name).parents} - {".", "deploy"}):
        below = [name.removeprefix(f"{folder}/") for name in names if name.startswith(f"{folder}/")]
        found[folder] = sorted({first + slash for first, slash, _ in (name.partition("/") for name in below)})
    return {folder: below for folder, below in found.items() if "README.md" not in below}


def shown() -> list[str]:
    """The names of the site's files, as they are called in the repository."""
    found = {
        path for pattern in SHOWN for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(path.relative_to(ROOT).as_posix() for path in found)
