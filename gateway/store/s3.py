"""``Objects`` by botocore: the credential chain is that of the vendors on AWS (environment, profile, SSO, web identity, EC2, ECS).

Works with what speaks S3 and honours conditional writes, which are tried once for each process: Amazon S3 (If-None-Match since
2024-08, If-Match since 2024-11: docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html), MinIO, Cloudflare R2, Ceph.
A body is signed with its SHA-256 and sent with its MD5, so one that was cut is refused; botocore's own trailing checksums (since
1.36) are off, as stores other than Amazon's refuse them.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from gateway.store.objects import Address, Changed, Missing, ObjectError, Stored

CHUNK_BYTES = 1_048_576
DELETED_AT_ONCE = 1000
"""Of DeleteObjects."""
CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS = 5, 20, 2
"""A call takes 50 s at most where nothing answers; whoever calls tries again later."""
PROBE_KEY = "conditional-writes"
"""An object of no bytes by which it is found out whether the store honours conditions."""
_NO_ETAG = '"00000000000000000000000000000000"'
_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412")
_MISSING = ("NoSuchKey", "404")
_EXPLAINED = {
    "NoSuchBucket": "the bucket does not exist",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
    "AccessDenied": "access is denied",
    "403": "access is denied",
}


class S3:
    """The objects below an address."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client: Any = None
        self._is_probed = False
        self._lock = threading.Lock()

    def list(self, folder: str) -> list[Stored]:
        """Pages of a thousand."""
        found = []
        with self._errors(folder):
            pages = self._opened().get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.address.bucket, Prefix=self.address.prefix + folder):
                for each in page.get("Contents", ()):
                    key = each["Key"].removeprefix(self.address.prefix)
                    found.append(Stored(key, each["ETag"], each["Size"], each["LastModified"].timestamp()))
        return found

    def fetch(self, key: str, path: Path) -> str:
        """Streamed; an answer that ends early is an error."""
        with self._errors(key):
            answer = self._opened().get_object(Bucket=self.address.bucket, Key=self.address.prefix + key)
            with path.open("wb") as file:
                for part in answer["Body"].iter_chunks(CHUNK_BYTES):
                    file.write(part)
                size = file.tell()
        if size != answer["ContentLength"]:
            raise ObjectError(f"{self._name(key)}: {size} of {answer['ContentLength']} bytes came")
        return str(answer["ETag"])

    def put(self, key: str, path: Path, *, replaces: str | None = None) -> None:
        """A write that is refused may be our own, repeated after a lost reply: then the object is the file."""
        if not self._is_probed:
            self._probe()
            self._is_probed = True
        try:
            self._put(key, path, {"IfNoneMatch": "*"} if replaces is None else {"IfMatch": replaces})
        except (Changed, Missing):
            if self._is(key, path):
                return
            raise Changed(f"{self._name(key)}: another process has written it meanwhile") from None
        if not self._is(key, path):
            raise ObjectError(f"{self._name(key)}: what is read back is not what was written")

    def delete(self, keys: Iterable[str]) -> None:
        """Up to a thousand in one call."""
        rest = list(keys)
        for start in range(0, len(rest), DELETED_AT_ONCE):
            part = rest[start : start + DELETED_AT_ONCE]
            with self._errors(part[0]):
                answer = self._opened().delete_objects(
                    Bucket=self.address.bucket,
                    Delete={"Objects": [{"Key": self.address.prefix + key} for key in part], "Quiet": True},
                )
            for error in answer.get("Errors", ()):
                raise ObjectError(f"{self._name(error.get('Key', part[0]))}: {error.get('Code')}: cannot be deleted")

    def _put(self, key: str, path: Path, condition: dict[str, str]) -> None:
        with self._errors(key), path.open("rb") as body:
            self._opened().put_object(
                Bucket=self.address.bucket,
                Key=self.address.prefix + key,
                Body=body,
                ContentMD5=base64.b64encode(_digest(path)).decode(),
                **condition,
            )

    def _is(self, key: str, path: Path) -> bool:
        """Whether an object has the bytes of a file."""
        try:
            with self._errors(key), path.open("rb") as file:
                body = self._opened().get_object(Bucket=self.address.bucket, Key=self.address.prefix + key)["Body"]
                same = all(part == file.read(len(part)) for part in body.iter_chunks(CHUNK_BYTES))
                return same and not file.read(1)
        except Missing:
            return False

    def _probe(self) -> None:
        """Raises ObjectError for a store that overwrites whatever the condition says: of two writers one would lose its rows."""
        with suppress(Changed):
            self._put_nothing({"IfNoneMatch": "*"})
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": _NO_ETAG}):
            try:
                self._put_nothing(condition)
            except Changed:
                continue
            raise ObjectError(f"{self.address}: the store does not honour conditional writes ({next(iter(condition))})")

    def _put_nothing(self, condition: dict[str, str]) -> None:
        with self._errors(PROBE_KEY):
            self._opened().put_object(
                Bucket=self.address.bucket, Key=self.address.prefix + PROBE_KEY, Body=b"", **condition
            )

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                config = Config(
                    connect_timeout=CONNECT_TIMEOUT_S,
                    read_timeout=READ_TIMEOUT_S,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={
                        "payload_signing_enabled": True,
                        "addressing_style": "path" if self.address.endpoint else "auto",
                    },
                )
                session = Session()
                region = self.address.region or session.get_config_variable("region")
                self._client = session.create_client(
                    "s3", region or "us-east-1", endpoint_url=self.address.endpoint, config=config
                )
            return self._client

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        """botocore's exceptions as ours."""
        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            text = f"{self._name(key)}: {code}: {_EXPLAINED.get(code, error.response['Error'].get('Message', ''))}"
            kind = Changed if code in _REFUSED else Missing if code in _MISSING else ObjectError
            raise kind(text) from error
        except BotoCoreError as error:
            raise ObjectError(f"{self._name(key)}: {type(error).__name__}: {error}") from error

    def _name(self, key: str) -> str:
        return f"{self.address}/{key}"


def _digest(path: Path) -> bytes:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(CHUNK_BYTES):
            digest.update(part)
    return digest.digest()
