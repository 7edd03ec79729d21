"""Workers of a cluster and object storage."""

from __future__ import annotations

from tests.acceptance.cluster.conftest import Cluster, Quickly
from tests.acceptance.conftest import Cli


def test_workers_put_the_images_into_object_storage_themselves(
    on_cluster: Cli, cluster: Cluster, quick: Quickly
) -> None:
    cli = on_cluster
    with quick(0.1) as provider:
        store = f"output: {{store: 'file://{cli.folder}/mounted/night'}}\n"
        cli.write("m.yaml", store + provider.manifest(40, "{concurrency: 40}"))
        cli.run("run", "m.yaml", "--engine", "ray", "--address", cluster.address, "--workers", "2", code=0)
    cli.run("verify", "out/m", code=0)
    assert cli.json("verify", "out/m")["checked"] == 40
    assert len(list((cli.folder / "mounted/night/images").rglob("*.*"))) == 40
    assert [path for path in (cli.folder / "out/m/images").rglob("*") if path.is_file()] == []
