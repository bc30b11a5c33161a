"""An object store that speaks S3: its addresses, its faults in one line, the connection to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_ATTEMPTS: Final = 8


class StorageError(ValueError):
    """The storage cannot be used; the message says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object, or the common beginning of several.

    Attributes:
        bucket: Its bucket.
        key: Its name there.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@contextmanager
def answers(place: Place) -> Iterator[None]:
    """Turn what can go wrong with an object store into one line.

    Args:
        place: What it is about.

    Raises:
        FileNotFoundError: There is no such object.
        StorageError: Anything else.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) in _ABSENT:
            raise FileNotFoundError(str(place)) from error
        raise StorageError(f"Cannot use {place}: {error}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"Cannot use {place}: {error}") from error


def error_code(error: Any) -> str:  # noqa: ANN401
    """Give the code of botocore's ClientError, such as ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def client() -> Any:  # noqa: ANN401
    """Give this process's connection; credentials, region and endpoint are boto3's."""
    return _client(os.getpid())


@lru_cache(maxsize=1)
def _client(_process: int) -> Any:  # noqa: ANN401
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": _ATTEMPTS}
    return boto3.client("s3", config=Config(retries=retries))


def has_object(place: Place) -> bool:
    """Say whether there is such an object.

    Raises:
        StorageError: The store does not answer.
    """
    try:
        with answers(place):
            client().head_object(Bucket=place.bucket, Key=place.key)
    except FileNotFoundError:
        return False
    return True


def object_names(place: Place) -> list[str]:
    """List the objects below a place, named from there."""
    prefix = f"{place.key}/"
    pages = client().get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix)
    return [item["Key"][len(prefix) :] for page in pages for item in page.get("Contents", ())]
