"""A matrix from the command line: what is sent, what is sent again when it grows, and how it is told apart."""

from __future__ import annotations

from tests.acceptance.conftest import QUICK, Cli

HEAD = f"provider: apiyi\nproviders: {{apiyi: {{base_url: simulator, {QUICK}}}}}\n"
JOBS = "jobs:\n  - {id: pet, prompt: 'a {red|blue} {animal}'}\n  - {prompt: 'the house of a {animal}'}\n"


def test_a_value_that_is_added_sends_its_own_jobs_and_no_others(cli: Cli) -> None:
    cli.write("m.yaml", f"{HEAD}matrix: {{animal: [cat, dog]}}\n{JOBS}")
    cli.run("run", "m.yaml", code=0)
    first = {job["id"]: job["outputs"][0]["sha256"] for job in cli.jobs("m.yaml")}
    assert {"pet+cat+red", "pet+dog+blue"} < set(first)

    cli.write("m.yaml", f"{HEAD}matrix: {{animal: [fox, dog, cat]}}\n{JOBS}")
    plan = cli.json("plan", "m.yaml")
    assert plan["jobs"] == {"new": 3, "changed": 0, "unchanged": 6, "removed": 0}
    assert plan["requests"] == 3
    cli.run("run", "m.yaml", code=0)
    then = {job["id"]: job for job in cli.jobs("m.yaml")}
    assert len(then) == 9
    assert {name: then[name]["outputs"][0]["sha256"] for name in first} == first
    assert {len(job["attempts"]) for job in then.values()} == {1}


def test_a_value_that_is_taken_out_removes_its_jobs_and_another_wording_changes_them(cli: Cli) -> None:
    cli.write("m.yaml", f"{HEAD}matrix: {{animal: [cat, dog]}}\n{JOBS}")
    cli.run("run", "m.yaml", code=0)
    cli.write("m.yaml", f"{HEAD}matrix: {{animal: [cat]}}\n{JOBS.replace('} {animal}', '} little {animal}')}")
    assert cli.json("plan", "m.yaml")["jobs"] == {"new": 0, "changed": 2, "unchanged": 1, "removed": 3}


def test_too_many_combinations_are_one_line_at_once(cli: Cli) -> None:
    lists = ", ".join(f"k{number}: [{', '.join(map(str, range(100)))}]" for number in range(6))
    cli.write("m.yaml", f"{HEAD}matrix: {{{lists}}}\n{JOBS}")
    (line,) = cli.run("plan", "m.yaml", code=2).stderr.splitlines()
    assert line == "m.yaml:3:9: job 'pet' makes 2,000,000,000,000 jobs: a manifest may multiply to 10,000,000"


def test_a_chain_below_a_matrix_goes_from_each_parent_to_its_own_child(cli: Cli) -> None:
    cli.write(
        "m.yaml",
        f"{HEAD}matrix: {{animal: [cat, dog]}}\njobs:\n"
        "  - {id: pet, prompt: 'a {animal}'}\n"
        "  - {id: hat, prompt: now with a hat, after: pet}\n"
        "  - id: '{animal}-{colour}'\n"
        "    prompt: a {colour} hat instead\n"
        "    after: hat+{animal}\n"
        "    matrix: {colour: [red, blue]}\n",
    )
    assert cli.json("plan", "m.yaml")["jobs"]["new"] == 8
    cli.run("run", "m.yaml", code=0)
    parents = dict(cli.ask("out/m", "SELECT id, parent FROM jobs"))
    assert parents == {
        "pet+cat": None,
        "pet+dog": None,
        "hat+cat": "pet+cat",
        "hat+dog": "pet+dog",
        "cat-red": "hat+cat",
        "cat-blue": "hat+cat",
        "dog-red": "hat+dog",
        "dog-blue": "hat+dog",
    }
    cli.write("m.yaml", "provider: apiyi\nmatrix: {animal: [cat]}\njobs: [{id: a, prompt: '{animal}', after: pet}]\n")
    assert "m.yaml:3:" in cli.run("plan", "m.yaml", code=2).stderr
