"""The address of an object store in a manifest, and what a store's complaint is told as."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from batchgen.manifest.store import StoreAddress
from batchgen.storage.complaints import complaint


class Holder(BaseModel):
    """A section with nothing but an address."""

    store: StoreAddress = None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://my.bucket-1/a/b/", "s3://my.bucket-1/a/b"),
        ("gs://bucket/night", "gs://bucket/night"),
        ("az://container/night", "az://container/night"),
        ("file:///mnt/images/", "file:///mnt/images"),
        ("memory://", "memory://"),
        ("memory://one/a", "memory://one/a"),
        ("", None),
    ],
)
def test_an_address_is_read_without_a_slash_at_its_end(written: str, read: str | None) -> None:
    assert Holder(store=written).store == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("bucket/prefix", "is not the address of an object store, such as s3://bucket/prefix"),
        ("s4://bucket", "is not the address of an object store"),
        ("https://bucket.s3.amazonaws.com", "is not the address of an object store"),
        ("s3://", "must name a bucket"),
        ("s3:///prefix", "must name a bucket"),
        ("file://images", "must be a whole path, as in file:///mnt/images"),
        ("s3://bucket/../other", "must be plain words between slashes"),
        ("s3://bucket//a", "must be plain words between slashes"),
        ("s3://bucket/a b", "must be plain words between slashes"),
        ("s3://AKIA:sEcReT@bucket", "holds no credentials: they stand in the environment"),
        ("az://container/a?sig=sEcReT", "holds no credentials: they stand in the environment"),
    ],
)
def test_what_is_no_address_is_told_with_what_one_looks_like_and_no_secret_is_repeated(written: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Holder(store=written)
    assert said in str(caught.value.errors()[0]["msg"])
    assert "sEcReT" not in caught.value.errors()[0]["msg"]


_ANSWER = "Generic S3 error: Error performing PUT http://me:sEcReT@minio.lan:9000/b/k?X-Amz-Signature=sEcReT in 1ms - "


@pytest.mark.parametrize(
    ("scheme", "text", "said"),
    [
        ("s3", f"{_ANSWER}Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchBucket</Code></Error>",
         "there is no such bucket (HTTP 404, NoSuchBucket)"),
        ("s3", f"{_ANSWER}Server returned non-2xx status code: 403 Forbidden: <Error><Code>InvalidAccessKeyId</Code>",
         "the credentials are refused: look at AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
         " (HTTP 403, InvalidAccessKeyId)"),
        ("s3", f"{_ANSWER}Server returned non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied</Code></Error>",
         "the credentials may not read, write, list and delete there (HTTP 403, AccessDenied)"),
        ("s3", f"{_ANSWER}Received redirect without LOCATION, this normally indicates an incorrectly configured region",
         "the bucket is in another region: set AWS_REGION to its own"),
        ("s3", f"{_ANSWER}Server returned non-2xx status code: 503 Service Unavailable: <Code>SlowDown</Code>",
         "minio.lan:9000 answered HTTP 503, SlowDown"),
        ("s3", f"{_ANSWER}HTTP error: error sending request", "minio.lan:9000 can't be reached"),
        ("s3", "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1s - HTTP error",
         "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("s3", "Generic S3 error: Missing AccessKeyId",
         "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("az", "Generic MicrosoftAzure error: Account must be specified",
         "no account is named: set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY"),
        ("gs", "Generic GCS error: GCP credential error: Unable to open service account file from /home/me/key.json",
         "the credentials can't be read: look at GOOGLE_SERVICE_ACCOUNT, or GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs", "something that nobody has seen yet: sEcReT", "it failed with Exception"),
    ],
)  # fmt: skip
def test_a_complaint_says_what_to_do_and_repeats_nothing_secret(scheme: str, text: str, said: str) -> None:
    assert complaint(Exception(text), scheme) == said
