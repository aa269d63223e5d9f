"""Every setting of the system, read from `BARBER_*` variables once and passed down by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from barber.errors import SettingsError

DATABASE_DRIVER = "postgresql+psycopg2"
BROKER_SCHEMES = ("filesystem", "amqp", "amqps", "pyamqp", "redis", "rediss")

# Read by the conformance tests, and by the command line when it talks to a server.
ELSEWHERE = {"BARBER_VECTORS", "BARBER_SERVER", "BARBER_TOKEN"}

LEAST = {
    "threads": 1,
    "window": 1,
    "tick_s": 0.01,
    "lease_s": 0.1,
    "max_errors": 1,
    "max_losses": 1,
    "upload_mb": 1,
    "webhook_failures": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The system's settings. Each field `x` is the variable `BARBER_X`; see README's table."""

    database_url: str = field(repr=False)  # the catalogue; postgresql+psycopg2://...
    broker_url: str = field(default="filesystem://", repr=False)  # filesystem, amqp or redis
    queue_prefix: str = ""  # before each queue's name: keeps systems apart that share a broker
    home: Path = Path(".barber")  # artifacts, broker folder and embedded Postgres of one machine
    bundle: str = "rendered-128"  # name of a bundle, or the path of one
    bundles: Path = Path("~/.local/share/barber/bundles")  # your own bundles, found by name
    device: str = "cpu"  # of a worker: cpu, cuda:0, ..
    threads: int = 1  # torch threads of one worker process; another number rounds differently
    window: int = 8  # stages of one bundle handed to the broker at once, at least
    window_per_worker: int = 4  # and so many for each live worker that holds the bundle
    tick_s: float = 0.5  # pause between two dispatcher ticks
    lease_s: float = 30.0  # a running stage without a heartbeat for so long is lost
    grace_s: float = 60.0  # a dispatched stage not claimed for so long is sent again
    sweep_s: float = 3.0  # a finished header without an offered blend waits so long
    backoff_s: float = 2.0  # before the first repeat after an error; doubles each time
    max_errors: int = 3  # attempts that end in an error before the stage fails
    max_losses: int = 5  # attempts that end with the worker before the stage fails
    keep_days: float = 30.0  # what no job refers to any more is deleted when it is that old
    progress_s: float = 1.0  # least time between two progress writes of a stage
    min_free_mb: float = 256.0  # no stage is handed out while the store's disk has less
    public_url: str = ""  # under which browsers reach the console: https://barber.example
    proxies: int = 0  # in front of the console, whose X-Forwarded headers are believed
    soft_limit_s: str = "14400"  # a stage ends at its next step; "600,blend=1200", 0 for none
    hard_limit_s: str = "18000"  # a stage's process is killed; as above
    hang_leases: float = 20.0  # a stage without a step for so many leases hangs; 0: never
    drain_s: float = 20.0  # a worker told to stop works on for so long, then hands back
    child_tasks: int = 200  # a worker's process is replaced after so many; 0: never
    child_memory_mb: int = 0  # or when it holds more of the machine's memory; 0: no limit
    child_device_mb: int = 0  # or reserves more of its CUDA device's; 0: no limit
    upload_mb: int = 512  # the largest request with files, in MiB
    snapshot_s: float = 5.0  # least time between two snapshots of a stage, or 50 steps
    webhook_private: int = 0  # 1: webhooks may call addresses of private networks, and plain http
    webhook_failures: int = 50  # calls of a webhook that fail in a row before it is disabled
    failpoint: str = ""  # tests only: where a worker process shall end itself
    chaos: str = ""  # chaos runs only: toy stages, lost and doubled messages; see barber/chaos

    def __post_init__(self) -> None:
        scheme = self.database_url.split("://", 1)[0]
        if scheme != DATABASE_DRIVER:
            raise SettingsError(
                f"BARBER_DATABASE_URL starts with {scheme!r}: it must name its driver, "
                f"{DATABASE_DRIVER}://user:password@host:port/name"
            )
        for name, url in (("DATABASE", self.database_url), ("BROKER", self.broker_url)):
            try:
                urlsplit(url).port  # noqa: B018 - reading it checks it
            except ValueError as error:
                raise SettingsError(f"BARBER_{name}_URL cannot be read: {error}") from None
        public = urlsplit(self.public_url)
        if self.public_url and not (public.scheme in ("http", "https") and public.netloc):
            raise SettingsError(
                f"BARBER_PUBLIC_URL is {self.public_url!r}: give the console's address, "
                "such as https://barber.example"
            )
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise SettingsError(
                    f"BARBER_{name.upper()} is {getattr(self, name):g}: give {least:g} or more"
                )
        broker = urlsplit(self.broker_url).scheme
        if broker not in BROKER_SCHEMES:
            raise SettingsError(
                f"BARBER_BROKER_URL starts with {broker!r}: use one of {', '.join(BROKER_SCHEMES)}"
            )

    @property
    def store_dir(self) -> Path:
        """Where artifact files and portraits lie; shared by all workers and the console."""
        return self.home / "store"

    @property
    def broker_dir(self) -> Path:
        """Folder of the filesystem broker; unused with another broker."""
        return self.home / "broker"

    @property
    def bundles_dir(self) -> Path:
        """Where `barber bundle add` puts bundles; `~` is the user's home."""
        return expand_home(self.bundles)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Reads and checks `BARBER_*`.

        Raises:
            SettingsError: A variable is missing, unknown or malformed; it is named.
        """
        known = {f"BARBER_{name.upper()}": name for name in cls.__dataclass_fields__}
        given = {name: value for name, value in environ.items() if name.startswith("BARBER_")}
        unknown = sorted(set(given) - set(known) - ELSEWHERE)
        if unknown:
            raise SettingsError(f"unknown setting {unknown[0]}: see the table in README.md")
        if not given.get("BARBER_DATABASE_URL"):
            raise SettingsError(
                "BARBER_DATABASE_URL is not set: give the catalogue's address, or run `barber up`"
            )
        values: dict[str, Any] = {
            known[name]: _parsed(cls.__dataclass_fields__[known[name]].type, name, value)
            for name, value in given.items()
            if name in known
        }
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables from which `from_env` reads these settings; for child processes."""
        return {
            f"BARBER_{name.upper()}": str(getattr(self, name)) for name in self.__dataclass_fields__
        }


def bundles_dir(environ: Mapping[str, str]) -> Path:
    """`Settings.bundles_dir` for commands that need no catalogue, so no other setting."""
    default = Settings.__dataclass_fields__["bundles"].default
    return expand_home(Path(environ.get("BARBER_BUNDLES") or str(default)))


def expand_home(path: Path) -> Path:
    """The path with a leading `~` replaced.

    Raises:
        SettingsError: Nobody knows where this user's home is.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"BARBER_BUNDLES is {str(path)!r} and this user has no home: give an absolute path"
        ) from error


def _parsed(kind: object, name: str, value: str) -> str | int | float | Path:
    if kind == "str":
        return value
    if kind == "Path":
        return Path(value)
    try:
        number = int(value) if kind == "int" else float(value)
    except ValueError:
        raise SettingsError(f"{name} is {value!r}: a number is needed") from None
    if not 0 <= number < 1e9:
        raise SettingsError(f"{name} is {value!r}: it must lie between 0 and 1e9")
    return number
