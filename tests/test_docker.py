"""The Dockerfile copies what is there, from pinned images, and runs a program of the package as an ordinary user.

No image is built here: that takes Docker and gigabytes.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib

from common import REPOSITORY

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", (REPOSITORY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines if line]


def stages() -> list[list[Instruction]]:
    found: list[list[Instruction]] = []
    for one in instructions():
        if one[0] == "FROM":
            found.append([])
        found[-1].append(one)
    return found


def values(stage: list[Instruction], name: str) -> list[str]:
    return [value for instruction, value in stage if instruction == name]


def test_base_images_are_pinned_to_a_patch_release():
    for stage in stages():
        assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+( AS \w+)?", stage[0][1])
    assert len({stage[0][1].partition(" ")[0] for stage in stages()}) == 1


def test_what_is_copied_is_there_and_not_ignored():
    sent = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for stage in stages():
        for words in map(str.split, values(stage, "COPY")):
            copied |= set(words[:-1])
    assert all((REPOSITORY / path).exists() for path in copied)
    assert copied == sent


def test_all_that_the_build_reads_is_copied():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    manifest = re.findall(r"^include (.*)$", (REPOSITORY / "MANIFEST.in").read_text(), re.MULTILINE)
    read = {"pyproject.toml", "MANIFEST.in", project["project"]["readme"], *project["project"]["license-files"]}
    read |= {*" ".join(manifest).split(), *project["tool"]["setuptools"]["package-dir"].values()}
    assert read == {path for stage in stages() for value in values(stage, "COPY") for path in value.split()[:-1]}


def test_the_second_stage_gets_the_wheel_of_the_first():
    build, last = stages()
    assert build[0][1].endswith(" AS build")
    assert shlex.split(values(build, "RUN")[-1])[-2:] == ["--outdir", "/dist"]
    assert any("from=build,source=/dist,target=/dist" in value for value in values(last, "RUN"))


def test_the_variant_is_an_argument_and_for_the_cpu_by_default():
    _, last = stages()
    assert values(last, "ARG") == ["TORCH=cpu"]
    assert any("${TORCH}" in value for value in values(last, "RUN"))


def test_it_runs_the_program_as_an_ordinary_user_with_store_cache_and_data_in_volumes():
    _, last = stages()
    (program,) = json.loads(values(last, "ENTRYPOINT")[0])
    assert program in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    (user,) = values(last, "USER")
    assert user not in ("root", "0")
    assert any(f"useradd --create-home --uid 1000 {user} " in value for value in values(last, "RUN"))
    volumes = json.loads(values(last, "VOLUME")[0])
    assert values(last, "WORKDIR") == ["/work"]
    data = re.search(r"REPRBENCH_DATA=(\S+)", " ".join(values(last, "ENV")))
    assert data is not None
    assert volumes == ["/work", data[1]]
