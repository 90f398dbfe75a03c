from __future__ import annotations


def test_a_plugin_that_conforms(cli, plugin):
    done = cli("check", str(plugin("good.py", '@register("good")\nclass A(Flat): ...\n')))
    assert done.returncode == 0, done.stdout
    assert "good: 26 of 26 checks passed" in done.stdout


def test_a_plugin_that_does_not(cli, plugin):
    path = plugin(
        "bad.py",
        '@register("bad")\nclass A(Flat):\n'
        '    def encode(self, x):\n        return {"code": (x - x.mean(0)).flatten(1)}\n',
    )
    done = cli("check", str(path))
    assert done.returncode == 1
    assert "FAILED  ignores batch composition (1×12×12)" in done.stdout
    assert "An image's features do not depend on the other images" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_method_by_name_with_parameters(cli):
    done = cli("check", "pca[n_components=3]")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("pca[n_components=3]")


def test_mistakes(cli, tmp_path):
    (tmp_path / "empty.py").write_text("")
    for words, said in (
        (["pcaa"], "'pca'"),
        (["pca[n=1]"], "n_components"),
        (["empty.py"], "empty.py"),
        (["no.py"], "no.py"),
    ):
        done = cli("check", *words)
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
