"""Every setting, one class per concern; the only reader of the environment (``REEL_*``).

Nested by double underscores: ``REEL_DATABASE__URL``, ``REEL_S3__ENDPOINT``. What the environment does not name may be
a file of that name in ``/run/secrets``, where containers find their secrets. Services call ``settings()``.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

SECRETS = Path("/run/secrets")


class Database(BaseModel):
    url: str = Field(default="sqlite:///reelsight.db", description="`sqlite:///…` or `postgresql://…`")
    pool_size: int = Field(default=15, description="connections a process keeps (PostgreSQL)")
    patience_seconds: float = Field(
        default=60.0, description="how long a job waits for a database that is away"
    )


class Redis(BaseModel):
    url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), description="the queues' broker")


class S3(BaseModel):
    endpoint: str = Field(default="127.0.0.1:9000", description="host:port")
    public_endpoint: str | None = Field(
        default=None, description="host:port that browsers reach; in presigned links"
    )
    access_key: str = Field(default="reelsight", description="who asks")
    secret_key: SecretStr = Field(default=SecretStr("reelsight"), description="and the proof")
    bucket: str = Field(default="reelsight", description="made when it is missing (`reel up`)")
    users: dict[str, SecretStr] = Field(
        default={},
        description="JSON, service to secret key: setup makes these users of a MinIO; none: they are made elsewhere",
    )
    make_users: bool = Field(
        default=True, description="false: the storage has its users from a file of its own, as SeaweedFS does"
    )
    region: str = Field(default="us-east-1", description="goes into signatures")
    secure: bool = Field(default=False, description="HTTPS to the endpoint and in presigned links")
    public_secure: bool | None = Field(
        default=None, description="whether browsers reach it by https; as `REEL_S3__SECURE` unless said"
    )
    url_lifetime_seconds: int = Field(default=3600, description="of presigned links")
    patience_seconds: float = Field(default=60.0, description="how long a job waits for storage that is away")


class Jobs(BaseModel):
    """The figures behind the promises about jobs; tests shorten them."""

    lease_seconds: float = Field(
        default=30.0, description="a worker's right to its job without a sign of life"
    )
    heartbeat_seconds: float = Field(default=10.0, description="between two signs of life")
    reaper_seconds: float = Field(
        default=5.0, description="between two looks at dead leases and lost messages"
    )
    resend_seconds: float = Field(
        default=10.0, description="a queued job that nobody claimed is sent again after this"
    )
    retry_base_seconds: float = Field(
        default=2.0, description="longest wait before the second attempt; doubles each time"
    )
    retry_max_seconds: float = Field(default=300.0, description="longest wait before any attempt")
    queue_ttl_seconds: float = Field(
        default=7 * 86400.0,
        description="a job not started, or not taken up again, by then fails with timeout",
    )
    drain_seconds: float = Field(
        default=25.0, description="from SIGTERM until a running job gives its lease back"
    )
    time_limit_seconds: float | None = Field(default=None, description="overrides every kind's time limit")
    hard_limit_grace_seconds: float = Field(
        default=30.0, description="a job that ignores its time limit for so long takes its worker down"
    )


class Limits(BaseModel):
    """Bounds on what is let in; published at ``GET /v1/limits``."""

    picture_bytes: int = Field(default=20 * 2**20, description="one picture, sent or fetched")
    picture_pixels: int = Field(default=40_000_000, description="one picture, decoded")
    upload_bytes: int = Field(default=20 * 2**30, description="one film")
    json_bytes: int = Field(default=2 * 2**20, description="one JSON body")
    archive_members: int = Field(default=20_000, description="files in one zip")
    archive_bytes: int = Field(
        default=4 * 2**30,
        description="one zip, packed and unpacked; one safetensors file; also the form of `POST "
        "/v1/predictions`",
    )
    dataset_members: int = Field(
        default=200_000, description="files in one zip that is imported as a dataset"
    )
    page_size: int = Field(default=200, description="largest page of a list")


class KeyRates(BaseModel):
    """What one API key may ask of the whole deployment, counted in Redis; a key may have its own (`POST /v1/keys`)."""

    reads_per_minute: int = Field(
        default=6000,
        ge=0,
        description="what one API key may ask of all replicas together, see limits of each caller; 0 here "
        "and below: no limit",
    )
    writes_per_minute: int = Field(default=1200, ge=0, description="of everything that is no GET")
    predictions_per_minute: int = Field(default=0, ge=0, description="of pictures answered at once")
    jobs_per_day: int = Field(default=0, ge=0, description="jobs submitted; refused ones do not count")
    upload_bytes_per_day: int = Field(default=0, ge=0, description="of files sent, in bytes")


class VisitorRates(BaseModel):
    """Likewise what one address may, of visitors without a key."""

    reads_per_minute: int = Field(
        default=600, ge=0, description="likewise what one address may, of visitors without a key"
    )
    writes_per_minute: int = Field(default=120, ge=0, description="of everything that is no GET")
    predictions_per_minute: int = Field(default=120, ge=0, description="of pictures answered at once")
    jobs_per_day: int = Field(default=1000, ge=0, description="of jobs submitted")
    upload_bytes_per_day: int = Field(default=2**30, ge=0, description="of files sent, in bytes")


class Rates(BaseModel):
    """Each is a bucket that holds so many at most, and fills again in the time that it is named by."""

    key: KeyRates = KeyRates()
    visitor: VisitorRates = VisitorRates()


class Web(BaseModel):
    host: str = Field(default="127.0.0.1", description="where the API listens")
    port: int = Field(default=8000, description="and on which port; `reel up` sets it from `--port`")
    public_demo: bool = Field(default=True, description="the demo page answers without an API key")
    secret: SecretStr = Field(
        default=SecretStr(""), description="signs sign-in cookies; empty: sign-in is off"
    )
    first_key: SecretStr = Field(
        default=SecretStr(""),
        description="an API key with every scope that a deployment's setup makes known; empty: none",
    )
    idempotency_hours: float = Field(
        default=24.0, description="for so long a repeated `Idempotency-Key` gets the first answer"
    )
    visitor_hours: float = Field(
        default=24.0,
        gt=0,
        description="pictures that visitors without a key try, and what was drawn of them, are deleted after "
        "this",
    )


class Ingest(BaseModel):
    allowed_hosts: list[str] = Field(
        default=[],
        description="host:port that may be fetched although private: the demo's own picture server",
    )
    contact: str = Field(
        default="",
        pattern=r"^[\x20-\x7e]*$",
        description="mail address or page of who runs this; goes into the user agent, wikimedia insists on it",
    )
    ddgs: bool = Field(
        default=False,
        description="allow the provider `ddgs`: a search engine, asked by a library that poses as a browser; "
        "it knows no licences",
    )
    wikimedia_url: str = Field(
        default="https://commons.wikimedia.org/w/api.php",
        description="the API that the provider `wikimedia` asks",
    )
    openverse_url: str = Field(
        default="https://api.openverse.org", description="the Openverse API, or one that speaks like it"
    )
    openverse_token: SecretStr = Field(
        default=SecretStr(""), description="a bearer token: larger pages, higher rate"
    )
    user_agent: str = Field(
        default="Reelsight/0.1 (+https://github.com/reelsight/reelsight)",
        description="sent to every site; robots.txt is read for it",
    )
    fetch_seconds: float = Field(
        default=30.0, description="from the first byte asked for to the last one received"
    )
    fetches_per_host_per_second: float = Field(
        default=5.0,
        description="of all ingest workers together; each keeps to it alone while Redis is away. 0: as fast "
        "as it goes",
    )


class Webhooks(BaseModel):
    allowed_hosts: list[str] = Field(
        default=[],
        description="host:port that may be told of jobs although private, on an odd port or without TLS; "
        "for the API and the reaper",
    )
    timeout_seconds: float = Field(default=10.0, gt=0, description="from the name's look-up to the answer")
    attempts: int = Field(
        default=10, ge=1, description="a delivery that failed so often is given up, by default after a day"
    )
    retry_base_seconds: float = Field(
        default=5.0, ge=0, description="before the second attempt; four times as long before each next one"
    )
    retry_max_seconds: float = Field(default=8 * 3600.0, description="and never longer than this")
    disable_after_hours: float = Field(
        default=120.0, gt=0, description="an endpoint that has only failed for so long is disabled"
    )
    keep_days: float = Field(default=30.0, gt=0, description="deliveries are deleted after this")


class Trainer(BaseModel):
    processes: int = Field(
        default=0, ge=0, le=64, description="that train one model together; 0: one for each GPU, one on a CPU"
    )
    mlflow_uri: str = Field(
        default="",
        description="an MLflow tracking server or store that is told of every training; needs "
        "`reel-trainer[mlflow]`",
    )
    mlflow_experiment: str = Field(default="reelsight", description="the experiment there")


class Inference(BaseModel):
    engine: Literal["auto", "openvino", "onnxruntime"] = Field(
        default="auto",
        description="`openvino`, `onnxruntime`, or `auto`: onnxruntime where its build for GPUs is installed "
        "and there is one, else openvino",
    )
    precision: Literal["auto", "f32", "bf16", "int8"] = Field(
        default="auto",
        description="auto: bf16 where the CPU has it and the model's card says that it passed, else f32; "
        "what failed there is never served",
    )
    lanes: int = Field(default=0, description="0: one per core of the CPU quota")
    max_batch: int = Field(default=4, description="pictures that go through the graph together")
    queue: int = Field(default=64, description="requests waiting beyond this are refused with 429")
    keep_models: int = Field(
        default=1, ge=0, description="that stay in memory beside the active one, those asked last"
    )
    model_poll_seconds: float = Field(default=2.0, description="how soon a promoted model serves")
    warm_seconds: float = Field(
        default=0.0,
        ge=0,
        description="how long a starting API loads the active model before it lets anybody connect; for "
        "replicas that are found by DNS alone",
    )
    key_requests_per_second: float = Field(
        default=0.0,
        ge=0,
        description="pictures that one API key, or all visitors of the demo together, may send to one "
        "replica of `predict`; 0: no limit",
    )
    key_burst: int = Field(default=20, ge=1, description="that may come at once after a pause")
    cache_entries: int = Field(
        default=10_000, ge=0, description="answers that Redis remembers, of 8 KiB at most; 0: none"
    )
    cache_seconds: int = Field(default=3600, ge=1, description="how long it remembers each")


class Explainer(BaseModel):
    engine: Literal["auto", "torch", "openvino"] = Field(
        default="auto",
        description="what runs the network for Grad-CAM alone: `torch`, `openvino`, or `auto`: OpenVINO "
        "where its maps were measured. Guided methods need torch",
    )
    precision: Literal["auto", "f32", "bf16"] = Field(
        default="auto",
        description="of OpenVINO: `f32`, `bf16`, or `auto`: bf16 where the processor has it and the "
        "deviation is allowed",
    )
    max_deviation: float = Field(
        default=0.02,
        gt=0,
        description="largest difference of OpenVINO's heat maps from torch's in f32, relative to the map's "
        "range; beyond it torch runs, and the result says so",
    )
    calibration_pictures: int = Field(
        default=8,
        ge=0,
        le=100,
        description="validation pictures that it is measured on, when a model is first asked for Grad-CAM "
        "alone",
    )


class Gates(BaseModel):
    """What a model must show before it serves; published at ``GET /v1/gates``."""

    certificate: bool = Field(
        default=True, description="the dataset version's leak certificate is there and good"
    )
    held_out: bool = Field(
        default=True, description="it must not have been trained on the pictures that judge it"
    )
    graph_difference: float = Field(
        default=1e-3,
        gt=0,
        description="largest difference of logits, ONNX from torch, relative to the largest logit",
    )
    regression: bool = Field(
        default=True, description="no accuracy below the active model's beyond what chance explains"
    )
    allow_incomparable: bool = Field(
        default=False, description="let pass what was judged on none of the active model's pictures"
    )
    min_accuracy: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description='JSON: least accuracy by part, such as `{"all": 0.8, "probe:cosplay": 0.35}`'
    )


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="REEL_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        secrets_dir=SECRETS,
    )

    data_dir: Path = Field(
        default=Path(".data"), description="scratch space of workers, home of the embedded servers"
    )
    log_level: str = Field(default="INFO", description="of every process")
    log_json: bool = Field(default=True, description="JSON lines; off: coloured lines, on a terminal only")
    metrics_port: int = Field(default=0, description="where a worker serves /metrics; 0: nowhere")
    metrics_host: str = Field(
        default="127.0.0.1", description="the address it listens on; 0.0.0.0 in a container"
    )
    database: Database = Database()
    redis: Redis = Redis()
    s3: S3 = S3()
    jobs: Jobs = Jobs()
    limits: Limits = Limits()
    rates: Rates = Rates()
    web: Web = Web()
    webhooks: Webhooks = Webhooks()
    ingest: Ingest = Ingest()
    trainer: Trainer = Trainer()
    inference: Inference = Inference()
    explainer: Explainer = Explainer()
    gates: Gates = Gates()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = NestedSecretsSettingsSource(file_secret_settings, secrets_dir_missing="ok")
        return init_settings, env_settings, files


@cache
def settings() -> Settings:
    return Settings()
