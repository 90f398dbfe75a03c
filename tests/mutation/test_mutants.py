"""What is changed by `make mutate`, on a small file."""

from __future__ import annotations

from mutants import sample

CODE = '''
from __future__ import annotations

@cache(maxsize=12)
def half(x: Annotated[int, Field(ge=1)] = 3, y: Literal[4] = 4, *, z=None) -> Annotated[int, 5]:
    """Return 6 halves."""
    width: Annotated[int, 7] = 8
    if x == 9:
        run.progress(f"{x + 10}", 0.5)
        raise ValueError(f"not {x + 10}")
    return round(x / 2.5, ndigits=1)

def draw(axes: Axes) -> None:
    axes.set_xlim(0, 11)
'''
OPERATORS = [
    "NumberReplacer",
    "ReplaceBinaryOperator_(Mul_Add|Div_Mul)",
    "ReplaceComparisonOperator_Eq_NotEq",
    "AddNot",
]


def changes(folder, code, count=99, seed=0):
    (folder / "code.py").write_text(code)
    return sample(folder, ["*.py"], OPERATORS, seed, count)


def test_values_and_operators_are_changed_but_not_types_messages_and_drawings(tmp_path):
    found = changes(tmp_path, CODE)
    places = sorted((one.line, one.was) for one in found)
    lines = CODE.splitlines()
    # Two defaults, the width, the comparison with its number and its `if`, the division with its number, the digits.
    assert [line for line, _ in places] == [5, 5, 7, 8, 8, 8, 11, 11, 11]
    assert all(lines[line - 1].strip() == was for line, was in places)
    for one in found:
        compile(one.code, "code.py", "exec")
        assert one.code.splitlines()[one.line - 1].strip() == one.now != one.was
    halves = {one.now for one in found if one.line == 11 and "*" not in one.now and "ndigits=1" in one.now}
    assert halves <= {"return round(x / 5.0, ndigits=1)", "return round(x / 1.25, ndigits=1)"}


def test_the_sample_depends_on_the_seed_and_not_on_other_lines(tmp_path):
    keys = [one.key for one in changes(tmp_path, CODE)]
    assert [one.key for one in changes(tmp_path, CODE, count=3)] == keys[:3]
    assert [one.key for one in changes(tmp_path, "import math\n" + CODE)] == keys
    assert [one.key for one in changes(tmp_path, CODE, seed=1)] != keys
