"""What the processes of trials print, as a user finds it."""

from __future__ import annotations

from common import FAST

TALKING = """
import logging, sys, warnings

@register("talking")
class Talking(Flat):
    ends: bool = False

    def fit(self, images, run):
        super().fit(images, run)
        print("printed")
        print("to standard error", file=sys.stderr)
        os.write(1, b"past Python\\n")
        for share in range(0, 101, 10):
            print(f"\\r{share:3d} %", end="")
        print()
        logging.getLogger("mine").info("logged")
        warnings.warn("careful")
        open("log.txt", "w").write("forged")
        if self.ends:
            print("the last words", flush=True)
            os._exit(3)
"""


def test_a_trial_keeps_what_its_processes_print(here, tmp_path, plugin):
    path = str(plugin("talking.py", TALKING))
    command = ("run", "--plugin", path, "--methods", "talking,talking[ends=true]", *FAST)
    done = here(*command)
    assert done.returncode == 1
    place = done.stderr.index("talking[ends=true] (seed 0): failed: the process exited with status 3")
    assert "    the last words\n" in done.stderr[place:]
    log = next(tmp_path.glob("results/adhoc/talking/*/log.txt")).read_text()
    for words in (
        "printed\n",
        "to standard error\n",
        "past Python\n",
        "\n100 %\n",
        "INFO mine: logged\n",
        "UserWarning: careful",
    ):
        assert words in log, words
    assert " 90 %" not in log
    assert "forged" not in log
    assert "WARNING py.warnings" in log
    shown = here("show", "adhoc/talking/", "--log")
    assert "2 trials have that name; say which one: " in shown.stderr

    before = log.splitlines()
    again = here("run", "--plugin", path, "--methods", "talking", "--protocols", "knn", *FAST[:2])
    assert again.returncode == 0, again.stderr
    (folder,) = [p.parent for p in tmp_path.glob("results/adhoc/talking/*/log.txt") if "the last" not in p.read_text()]
    after = (folder / "log.txt").read_text().splitlines()
    assert after[: len(before)] == before
    assert after[len(before)].startswith("== process started ")
