"""All settings: ``GATEWAY_*`` environment variables over the ``gateway.yaml`` files of the configuration folders.

Every field has its unit in its name, a safe default, and a description; ``docs/configuration.md`` lists them and a test keeps
both in step. They are read once, in the parent process; the rest of the program gets values and does not read the environment.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

RATE_MAX = 10**9
"""The largest rate limit: the ledger's functions count exactly up to it."""
CHECKOUT_CONFIG = Path(__file__).resolve().parent.parent / "config"
PACKAGED_CONFIG = Path(__file__).resolve().parent / "_config"


CLICKHOUSE_URL = re.compile(r"https?://([^/@:\s]+(:[^/@\s]*)?@)?([\w.-]+|\[[0-9a-fA-F:]+\])(:\d+)?/[A-Za-z_]\w*/?$")


def shipped_config_dir() -> Path:
    """The catalogue that comes with this program: ``config`` of a checkout, else the copy in the package."""
    return CHECKOUT_CONFIG if (CHECKOUT_CONFIG / "providers").is_dir() else PACKAGED_CONFIG


def config_folders(value: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None) -> tuple[Path, ...]:
    """``"a:b"`` → the folders ``a`` and ``b``, separated as in ``PATH``. The shipped folder when none is named."""
    if isinstance(value, str):
        value = [part for part in value.split(os.pathsep) if part]
    elif isinstance(value, os.PathLike):
        value = [value]
    return tuple(Path(part) for part in value or ()) or (shipped_config_dir(),)


def over_the_shipped(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders, preceded by the shipped catalogue unless it is one of them; later folders override earlier ones."""
    shipped = shipped_config_dir()
    return folders if shipped.resolve() in (folder.resolve() for folder in folders) else (shipped, *folders)


def settings_files(folders: Iterable[Path]) -> list[Path]:
    """The settings files of the folders, in their order; a file need not exist."""
    return [folder / "gateway.yaml" for folder in folders]


class Settings(BaseSettings):
    """Raises pydantic.ValidationError naming the variable when a value does not fit."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="forbid", frozen=True, hide_input_in_errors=True)

    config_dir: Annotated[tuple[Path, ...], NoDecode] = Field(
        default_factory=lambda: (shipped_config_dir(),),
        description="Folder of the catalogue and gateway.yaml, or several separated as in PATH, later ones over earlier ones.",
    )
    shipped_catalog: bool = Field(
        False, description="Lay the folders of config_dir over the shipped catalogue, instead of using them alone."
    )
    data_dir: Path = Field(
        Path("data"), description="Directory of the embedded Valkey, the admin key and the process lock."
    )
    redis_url: str | None = Field(
        None,
        description="redis://, rediss:// or unix:// URL of a Redis ≥ 7 or Valkey. Unset: an embedded Valkey is started.",
    )
    admin_key: SecretStr | None = Field(
        None, description="Management key. Unset: generated once into admin.key in the data directory, mode 0600."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=256, description="Worker processes that share the port.")
    server: str = Field(
        "uvicorn", pattern="^(uvicorn|granian)$", description="HTTP server: uvicorn, or granian (optional)."
    )
    cors_origins: str = Field(
        "*",
        max_length=4096,
        description="Origins whose web pages may call the API, separated by commas; * for all, empty for none.",
    )
    list_all_models: bool = Field(False, description="GET /models lists models that no configured vendor serves, too.")
    web: bool = Field(True, description="Serve the public pages: home, models, providers, rankings, apps.")
    fee_percent: Decimal = Field(
        Decimal(5), ge=0, le=100, decimal_places=2, description="Platform fee on the provider's cost, in percent."
    )

    connect_timeout_s: float = Field(5, gt=0, description="Clock 1: opening a connection to a provider.")
    first_content_timeout_s: float = Field(
        60, gt=0, description="Clock 2: silence of a provider before the first content of a stream."
    )
    headers_timeout_s: float = Field(
        60, gt=0, description="Clock 2 of a JSON call that another endpoint could serve: to the headers of its answer."
    )
    image_headers_timeout_s: float = Field(
        180, gt=0, description="The same for pictures: for each one that the request asks for."
    )
    speech_headers_timeout_s: float = Field(
        60, gt=0, description="The same for speech: for each 4,096 characters that are to be spoken."
    )
    transcription_headers_timeout_s: float = Field(
        120, gt=0, description="The same for transcriptions: for each ten minutes of sound."
    )
    thinking_timeout_s: float = Field(
        300, gt=0, description="How long a provider that shows signs of life may take to the next content of a stream."
    )
    answer_timeout_s: float = Field(
        300, gt=0, description="Clock of a JSON call: from the request to its whole answer."
    )
    gap_timeout_s: float = Field(
        60, gt=0, description="Clock 3: silence of a provider within a stream, or within a body of JSON that has begun."
    )
    total_timeout_s: float = Field(600, gt=0, description="Clock 4: one request, all attempts together.")
    keepalive_s: float = Field(
        3.5,
        gt=0,
        description="Longest silence of a stream: then an SSE comment is sent. Some clients give up after 5 s.",
    )
    json_keepalive: str = Field(
        "known",
        pattern="^(known|always|never)$",
        description="Blanks before a late JSON answer: for clients known to need them, for all, or for none.",
    )
    max_attempts: int = Field(3, ge=1, le=10, description="Attempts for one request that cost time or money.")
    affinity: bool = Field(
        True, description="The turns of a conversation stay on the endpoint that has its beginning in its cache."
    )
    retry_budget_percent: float = Field(
        10, ge=0, le=100, description="Share of recent requests of a model that may be retries."
    )
    retry_budget_floor_per_s: float = Field(
        5, ge=0, description="Retries a second a model may always make, on top of the share."
    )

    ledger_timeout_s: float = Field(0.25, gt=0, description="How long the request path waits for Redis.")
    hold_ttl_s: int = Field(120, ge=5, description="Life of a hold without a heartbeat.")
    beat_interval_s: float = Field(30, gt=0, description="Heartbeat of the holds of running streams.")
    expire_interval_s: float = Field(5, gt=0, description="How often overdue holds are looked for.")
    key_requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=RATE_MAX,
        description="Requests a minute of a key that has no such limit of its own. Unset: no limit.",
    )
    key_tokens_per_minute: int | None = Field(
        None, ge=1, le=RATE_MAX, description="Tokens a minute, prompt and output, of such a key. Unset: no limit."
    )
    key_max_concurrent: int | None = Field(
        None, ge=1, le=RATE_MAX, description="Requests at once of such a key. Unset: no limit."
    )
    organization_requests_per_minute: int | None = Field(
        None, ge=1, le=RATE_MAX, description="The same of an organisation, all its keys together. Unset: no limit."
    )
    organization_tokens_per_minute: int | None = Field(
        None, ge=1, le=RATE_MAX, description="Tokens a minute of such an organisation. Unset: no limit."
    )
    organization_max_concurrent: int | None = Field(
        None, ge=1, le=RATE_MAX, description="Requests at once of such an organisation. Unset: no limit."
    )
    record_ttl_s: int = Field(
        2_592_000,
        ge=60,
        description="How long generation records are kept for GET /generation, by whole days in the archive.",
    )
    unpaid_record_ttl_s: int = Field(
        86_400, ge=60, description="The same of requests that cost nothing, whose records are never archived."
    )
    close_books: bool | None = Field(
        None,
        description="Move old lines of the ledger, and records, to the archive. Unset: where the store is embedded, or it is said "
        "where the history is.",
    )
    close_after_s: int = Field(
        86_400, ge=14_400, description="Age at which they leave the store. A repeated charge is recognised for so long."
    )
    close_interval_s: float = Field(600, gt=0, description="How often old lines are looked for.")
    journal_days: int = Field(0, ge=0, description="Days of the ledger that the archive keeps; 0: all.")
    default_max_tokens: int = Field(
        4096,
        ge=1,
        description="Least output that is held when the request names no max_tokens, if the model may write it.",
    )
    health_share_interval_s: float = Field(1, gt=0, description="How often health is exchanged between processes.")
    catalog_reload_interval_s: float = Field(
        5, gt=0, description="How often the catalogue's files are checked for changes."
    )
    audit_interval_s: float = Field(
        300, gt=0, description="How often the worker recomputes every balance from the journal."
    )
    drain_timeout_s: float = Field(
        300,
        ge=0,
        description="How long an answer is read on after its client disconnected, if closing does not stop the provider's bill.",
    )
    shutdown_grace_s: float = Field(30, ge=0, description="SIGTERM: how long running streams may go on.")

    max_body_bytes: int = Field(20_971_520, ge=1024, description="Largest request body.")
    max_json_depth: int = Field(64, ge=4, description="Deepest nesting of a request body.")
    max_header_bytes: int = Field(65_536, ge=1024, description="All request headers together.")
    max_header_count: int = Field(100, ge=8, description="Number of request headers.")
    body_timeout_s: float = Field(30, gt=0, description="Time a caller has to send the body.")
    idle_timeout_s: int = Field(
        75, ge=1, description="How long a caller's connection is kept open between two requests (uvicorn)."
    )
    max_in_flight: int = Field(2_000, ge=1, description="Requests at once in one process; more are shed with 503.")
    max_incoming_bodies: int = Field(
        1_000, ge=4, description="Request bodies that arrive at once in one process; a quarter of them from one key."
    )
    max_incoming_bytes: int = Field(
        536_870_912, ge=4096, description="What of these bodies has arrived, together; a quarter of it from one key."
    )
    max_connections: int | None = Field(
        None,
        ge=1,
        description="Connections of callers to one process. Unset: half of the files that it may open (uvicorn).",
    )
    allowed_hosts: str = Field(
        "",
        max_length=4096,
        description="Names under which browsers may reach the gateway, separated by commas; * for all. Unset: all, "
        "but on a loopback address only localhost. Addresses are always allowed.",
    )

    analytics: bool = Field(True, description="Count who used which model how much: charts, rankings, activity.")
    analytics_stream_events: int = Field(
        200_000,
        ge=1000,
        description="Events that wait in Redis to be counted, about; when there are more, the oldest are lost.",
    )

    history: bool = Field(
        True, description="Keep every event of analytics in Parquet files, where the extra `analytics` is installed."
    )
    history_dir: Path | None = Field(
        None, description="Directory of these files. Unset: `history` in the data directory."
    )
    history_url: str | None = Field(
        None,
        pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9._-]+(/[^?#@\s]*)?(\?[^#@\s]+)?$",
        description="s3://bucket/prefix?endpoint=https://host&region=name: these files as objects, instead of in a directory.",
    )
    history_clickhouse_url: SecretStr | None = Field(
        None, description="http://user:password@host:8123/database: every event goes to ClickHouse as well."
    )
    history_interval_s: float = Field(30, gt=0, description="How often new events are written to the history.")
    history_days: int = Field(0, ge=0, description="Days of the history that are kept; 0: all.")

    public_rankings: bool = Field(
        False, description="Rankings and charts need no key, and show only what no single account can be recognised in."
    )
    rankings_min_users: int = Field(
        5,
        ge=1,
        description="Different users that a figure needs to be shown without the management key; 1: every figure is.",
    )

    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least severe level that is logged."
    )

    @field_validator("config_dir", mode="before")
    @classmethod
    def _folders(cls, value: Any) -> Any:
        return config_folders(value) if isinstance(value, str | os.PathLike | list | tuple) else value

    @field_validator("admin_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        key = value.get_secret_value().strip().strip("'\"")  # what `$(cat file)` and some .env readers leave around it
        if len(key) < 16:
            raise ValueError("the management key must have at least 16 characters")
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the management key must be one word of printable ASCII characters")
        return SecretStr(key)

    @field_validator("history_clickhouse_url")
    @classmethod
    def _names_a_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not CLICKHOUSE_URL.match(value.get_secret_value()):
            raise ValueError("must be http://user:password@host:8123/database, or https; user and password as in URLs")
        return value

    @cached_property
    def fee_basis_points(self) -> int:
        """5 % → 500."""
        return int(self.fee_percent * 100)

    @cached_property
    def allowed_origins(self) -> frozenset[str]:
        """``cors_origins`` as a set."""
        return frozenset(origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip())

    @cached_property
    def allowed_host_names(self) -> frozenset[str]:
        """``allowed_hosts`` as a set, in lower case."""
        return frozenset(name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip())

    @cached_property
    def catalog_dirs(self) -> tuple[Path, ...]:
        """The folders of the catalogue, the lowest first: those of ``config_dir``, over the shipped one if that is switched on."""
        return over_the_shipped(self.config_dir) if self.shipped_catalog else self.config_dir

    @cached_property
    def history_directory(self) -> Path:
        """Where the files of the history of analytics are, unless they are elsewhere."""
        return self.history_dir or self.data_dir / "history"

    @cached_property
    def files_location(self) -> str:
        """Where the files of the history of analytics are: a directory or a URL."""
        return self.history_url or str(self.history_directory)

    @cached_property
    def closes_books(self) -> bool:
        """Whether old lines of the ledger leave the store. By default not for a directory that may not last."""
        if self.close_books is None:
            return self.redis_url is None or self.history_dir is not None or self.history_url is not None
        return self.close_books

    @property
    def history_location(self) -> str:
        """Where the history of analytics is read: its files, else ClickHouse. The URL has a password."""
        if self.history_clickhouse_url is None or self.history:
            return self.files_location
        return self.history_clickhouse_url.get_secret_value()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then ``gateway.yaml`` of the configuration folders, later ones over earlier ones."""
        files = settings_files(config_folders(os.environ.get("GATEWAY_CONFIG_DIR")))
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls, files)


def load(**overrides: Any) -> Settings:
    """Settings of this process. Raises pydantic.ValidationError."""
    return Settings(**overrides)


def admin_key(settings: Settings) -> str:
    """The management key: the setting, else the content of ``admin.key`` in the data directory (made there once, mode 0600).

    Raises PermissionError when other users may read the file.
    """
    if settings.admin_key is not None:
        return settings.admin_key.get_secret_value()
    path = settings.data_dir / "admin.key"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"{path} may be read by others; run: chmod 600 {path}") from None
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        key = "sk-tw-admin-" + secrets.token_urlsafe(32)
        file.write(key + "\n")
    return key
